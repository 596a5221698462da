"""DRAEM: two networks that remove and find pasted anomalies (Zavrtanik et al., ICCV 2021).

Textures are pasted into reference images of one category (section 3.3). One network learns to remove them
(section 3.1), and the other to find them from the image and its reconstruction (section 3.2). Its probability
is the anomaly map, and the largest local mean of the map is the score of an image (section 3.4).

There are two departures from the paper. The pasted textures are rendered (`rendered_texture`) in place of the
photographs of the Describable Textures Dataset. Reference images are not rotated, because a rotated part is a
defect in many products.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Params, Scores, check_range
from vlmad_jax.methods.draem_networks import Networks, Output
from vlmad_jax.methods.reconstruction import ReconstructionDetector, State, initial_variables, run_steps
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.losses import focal_loss, structural_similarity
from vlmad_jax.scoring.maps import filter_rows_and_columns, upsample

# The discriminative network has five poolings.
TOTAL_STRIDE = 32
BATCH = 8
# The share of training images without an anomaly.
NORMAL_SHARE = 0.5
# The learning rate at the published width. It is inversely proportional to the width (Yang et al. 2022).
LEARNING_RATE, PUBLISHED_WIDTH = 1e-4, 128
# After these shares of the steps, the learning rate falls to a fifth.
DECAYS, DECAY = (0.8, 0.9), 0.2
# The window of the image score is 21 pixels for images of 256 pixels.
RADIUS_256 = 10


@dataclass(frozen=True, eq=False)
class DRAEM(ReconstructionDetector):
    """DRAEM, trained on the reference images of one category.

    The published setting is `network_width=128`, `resolution=256` and 700 epochs in batches of 8, which are
    about 20,000 steps for a category of MVTec AD and need a GPU.

    Attributes:
      backbone: The frozen network, which gives the image size.
      image_size: The side of the images in pixels, or (height, width); None means the backbone's own.
      resolution: The longest side of the images that the networks see, rounded down to a multiple of 32.
      network_width: The channels of the first convolution of the reconstructive network, an even number. The
        discriminative network has half as many.
      steps: The number of training steps of 8 images.
      seed: The seed of the initial parameters, the order of the images and the anomalies.

    Raises:
      InputError: A hyper-parameter is out of range, or the images are smaller than 32 pixels.
    """

    backbone: Backbone
    image_size: ImageSize | None = None
    resolution: int = 128
    network_width: int = 8
    steps: int = 250
    seed: int = 0

    name: ClassVar[str] = "draem"
    options: ClassVar = ("network_width", "resolution", "steps")
    state_type: ClassVar = State
    total_stride: ClassVar = TOTAL_STRIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("network_width", self.network_width, 2, None)
        if self.network_width % 2:
            raise InputError(f"network_width {self.network_width} is odd; give an even number")

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> Self:
        """Return the small setting for the backbone's own image size."""
        return cls(backbone)

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return 1: scores are probabilities and their means."""
        del references
        return 1.0, 1.0

    @property
    def networks(self) -> Networks:
        """The reconstructive and the discriminative network."""
        return Networks(self.network_width)

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Train on the reference images; the name is shown in the progress bar."""
        references = self.checked_references(references, params)
        small = np.concatenate([self.resized(image[None]) for image in references])
        normal = np.rint(255 * np.clip(small, 0, 1)).astype(np.uint8)
        return train_draem(self.networks, normal, self.steps, self.seed, object_name)[0]

    def score_with(self, variables: Variables, state: State, images: jax.Array) -> Scores:
        """Return probabilities of pixels (B, h, w), and their largest local mean in each image (B,)."""
        del variables
        output: Any = self.networks.apply(state._asdict(), self.resized(images), train=False)
        maps = nn.softmax(output.logits)[..., 1:]  # (B, h, w, 1)
        radius = round(RADIUS_256 * max(self.reconstructed) / 256)
        window = np.full(2 * radius + 1, 1 / (2 * radius + 1))
        means = filter_rows_and_columns(maps, window)
        return Scores(means.max(axis=(1, 2, 3)), upsample(maps[..., 0], self.size))


# Training images


class Examples(NamedTuple):
    """A batch of training images.

    Attributes:
      normal: uint8 (B, h, w, 3), without anomalies.
      images: uint8 (B, h, w, 3), half of them with an anomaly.
      masks: uint8 (B, h, w), 1 at pixels of anomalies.
    """

    normal: np.ndarray
    images: np.ndarray
    masks: np.ndarray


def rendered_texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Render a random texture in two random colours: uint8 (height, width, 3)."""
    from vlmad_jax.synthetic.grid import whole
    from vlmad_jax.synthetic.materials import TEXTURES

    render = TEXTURES[str(rng.choice([name for name in TEXTURES if name != "flat"]))]
    scale, angle, seed = rng.uniform(2, 16), rng.uniform(0, np.pi), int(rng.integers(2**31))
    tone, _ = render(whole(max(size)), scale, angle, seed)
    one, other = rng.integers(0, 256, (2, 3)).astype(np.float32)
    pixels = one + np.clip(tone, 0, 1)[: size[0], : size[1], None] * (other - one)
    return np.rint(pixels).astype(np.uint8)


def examples(rng: np.random.Generator, normal: np.ndarray) -> Examples:
    """Draw a batch from normal images (K, h, w, 3), and paste textures into some of them."""
    from vlmad_jax.synthetic.pasting import paste  # imports the renderer

    chosen = normal[rng.integers(len(normal), size=BATCH)]
    images, masks = chosen.copy(), np.zeros(chosen.shape[:3], np.uint8)
    for number in np.flatnonzero(rng.random(BATCH) >= NORMAL_SHARE):
        texture = rendered_texture(rng, chosen.shape[1:3])
        images[number], masks[number] = paste(rng, chosen[number], texture, "blend")
    return Examples(chosen, images, masks)


# Training


class Terms(NamedTuple):
    """The terms of the loss, equations 1 to 4, whose weights are 1.

    Attributes:
      squared: The mean squared error of the reconstruction.
      structure: 1 - the mean structural similarity of the reconstruction.
      focal: The focal loss of the probabilities.
    """

    squared: jax.Array
    structure: jax.Array
    focal: jax.Array


def loss_terms(normal: jax.Array, masks: jax.Array, output: Output) -> Terms:
    """Return the terms of the loss.

    Args:
      normal: float32 (B, h, w, 3), 0 to 1, the images without anomalies.
      masks: (B, h, w), 1 at pixels of anomalies.
      output: The output for the images with anomalies.
    """
    return Terms(
        ((output.images - normal) ** 2).mean(),
        1 - structural_similarity(output.images, normal).mean(),
        focal_loss(nn.softmax(output.logits)[..., 1], masks),
    )


Carry = tuple[Variables, Any]  # with the optimiser's state


def train_draem(
    networks: Networks, normal: np.ndarray, steps: int, seed: int, name: str
) -> tuple[State, np.ndarray]:
    """Train both networks with Adam and a progress bar.

    Args:
      networks: The networks.
      normal: uint8 (K, h, w, 3) images without anomalies.
      steps: The number of steps of `BATCH` images.
      seed: The seed of the initial parameters, the order of the images and the anomalies.
      name: The name in the progress bar.

    Returns:
      The state, and the loss of every step (steps,).
    """
    rng = np.random.default_rng(seed)

    def step(carry: Carry, number: int) -> tuple[Carry, jax.Array]:
        del number
        return _step(networks, steps, carry, examples(rng, normal))

    initial = initial_variables(networks, seed, normal[:1])
    carry = initial, _adam(networks, steps).init(initial["params"])
    (variables, _), losses = run_steps(step, carry, steps, name)
    return State(**variables), losses


def _adam(networks: Networks, steps: int) -> Any:
    import optax  # takes a tenth of a second to import

    initial = LEARNING_RATE * PUBLISHED_WIDTH / networks.width
    decays = {round(share * steps): DECAY for share in DECAYS}
    return optax.adam(optax.piecewise_constant_schedule(initial, decays))


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _step(networks: Networks, steps: int, carry: Carry, batch: Examples) -> tuple[Carry, jax.Array]:
    import optax

    variables, state = carry
    normal, images = (jnp.asarray(x, jnp.float32) / 255 for x in (batch.normal, batch.images))

    def loss(params: Variables) -> tuple[jax.Array, Any]:
        made: Any = {**variables, "params": params}
        output, changed = networks.apply(made, images, train=True, mutable=["batch_stats"])
        terms: Any = loss_terms(normal, jnp.asarray(batch.masks), output)
        return sum(terms), changed

    params = variables["params"]
    (value, changed), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    updates, state = _adam(networks, steps).update(gradient, state, params)
    return ({"params": optax.apply_updates(params, updates), **changed}, state), value
