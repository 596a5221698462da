"""GANomaly: adversarial reconstruction, scored by the distance of latents (Akcay et al., ACCV 2018).

The generator reconstructs the reference images of one category from a few latents and encodes the
reconstruction again. The discriminator learns to tell reconstructions from images. The second encoder has
learned the latents of normal images alone, so the distance of both latents is the score of an image.

Where the paper and the authors' code differ, this is the code: losses are means, and the distance is the mean
squared difference of latents, where the paper has the sum of absolute ones. The code also scales the
distances of a test set to 0..1; here they are not scaled, because scores do not depend on other test images.
The authors report no anomaly map. The map here is the squared error of the reconstruction.
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
from vlmad_jax.methods.reconstruction import (
    ReconstructionDetector,
    State,
    batch_norm,
    initial_variables,
    run_steps,
)
from vlmad_jax.methods.subpixel import DoublingConv, HalvingConv
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.maps import blur, upsample

# The sides of the smallest feature map are at least this many pixels.
LEAST_SIDE = 4
# The weights of the generator's losses (section 3.2).
ADVERSARIAL, CONTEXTUAL, ENCODER = 1.0, 50.0, 1.0
# The discriminator starts again when its loss falls below this.
LEAST_LOSS = 1e-5
BATCH = 64
# The learning rate at the published width. It is inversely proportional to the width (Yang et al. 2022).
LEARNING_RATE, PUBLISHED_WIDTH = 2e-4, 64


@dataclass(frozen=True, eq=False)
class GANomaly(ReconstructionDetector):
    """GANomaly, trained on the reference images of one category.

    The authors' setting is `network_width=64` with `resolution=32` (their code; 64 in later work) and 15
    epochs of thousands of images.

    Attributes:
      backbone: The frozen network, which gives the image size.
      image_size: The side of the images in pixels, or (height, width); None means the backbone's own.
      resolution: The longest side of reconstructions in pixels.
      network_width: The channels of the first convolution; each following one has twice as many.
      latents: The number of latents.
      steps: The number of training steps of at most 64 images.
      blur_sigma: The standard deviation of the map's blur in pixels; 0 means none.
      seed: The seed of the initial parameters and of the order of the images.

    Raises:
      InputError: A hyper-parameter is out of range, or the images are too small.
    """

    backbone: Backbone
    image_size: ImageSize | None = None
    resolution: int = 128
    network_width: int = 16
    latents: int = 100
    steps: int = 500
    blur_sigma: float = 4.0
    seed: int = 0

    name: ClassVar[str] = "ganomaly"
    options: ClassVar = ("network_width", "resolution", "steps")
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("network_width", "latents"):
            check_range(name, getattr(self, name), 1, None)
        if not self.blur_sigma >= 0:
            raise InputError(f"blur_sigma {self.blur_sigma} is below 0; give 0 or more")

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> Self:
        """Return the small setting for the backbone's own image size, with a blur of 4 pixels of 256."""
        return cls(backbone, blur_sigma=4 * backbone.image_size / 256)

    @property
    def halvings(self) -> int:
        """The number of convolutions that halve an image, until its shorter side is 4 to 7 pixels."""
        longest = max(self.size)
        shorter = min(self.size) * min(longest, self.resolution) // longest
        return max(1, (shorter // LEAST_SIDE).bit_length() - 1)

    @property
    def total_stride(self) -> int:
        """The stride of the encoders in pixels."""
        return 2**self.halvings

    @property
    def generator(self) -> Generator:
        """The encoder, decoder and second encoder."""
        return Generator(self.network_width, self.halvings, self.latents)

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Train on the reference images; the name is shown in the progress bar."""
        references = self.checked_references(references, params)
        images = jnp.concatenate([self.normalised(image[None]) for image in references])
        return train_ganomaly(self.generator, images, self.steps, self.seed, object_name)[0]

    def score_with(self, variables: Variables, state: State, images: jax.Array) -> Scores:
        """Return distances of latents (B,) and squared errors of pixels (B, h, w), 0 to 4."""
        del variables
        small = self.normalised(images)
        output: Any = self.generator.apply(state._asdict(), small, train=False)
        error = ((small - output.images) ** 2).mean(axis=-1)  # (B, h, w)
        distance = ((output.latents - output.latents_again) ** 2).mean(axis=-1)
        return Scores(distance, blur(upsample(error, self.size), self.blur_sigma))

    def normalised(self, images: Array) -> jax.Array:
        """Return uint8 images (B, h, w, 3) at the size of reconstructions, float32, -1 to 1."""
        return 2 * self.resized(images) - 1


class Generated(NamedTuple):
    """The output of the generator.

    Attributes:
      images: (B, h, w, 3), -1 to 1.
      latents: (B, latents), of the input.
      latents_again: (B, latents), of the reconstruction.
    """

    images: jax.Array
    latents: jax.Array
    latents_again: jax.Array


class Judged(NamedTuple):
    """The output of the discriminator.

    Attributes:
      features: (B, h, w, c), of its last feature map.
      logits: (B,), above 0 for real images.
    """

    features: jax.Array
    logits: jax.Array


class Encoder(nn.Module):
    """DCGAN's encoder: convolutions that halve the image and double the channels.

    Attributes:
      width: The channels of the first convolution.
      halvings: The number of convolutions.
      outputs: The number of outputs of the last layer.
    """

    width: int
    halvings: int
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Encode images (B, h, w, 3): the last feature map, and the outputs (B, outputs)."""
        for number in range(self.halvings):
            x = HalvingConv(self.width * 2**number)(x)
            x = nn.leaky_relu(batch_norm(train)(x) if number else x, 0.2)
        rows = x.reshape(len(x), -1)
        return x, nn.Dense(self.outputs, use_bias=False)(rows)


class Decoder(nn.Module):
    """DCGAN's decoder, the reverse of the encoder."""

    width: int
    halvings: int

    @nn.compact
    def __call__(self, latents: jax.Array, smallest: tuple[int, int], train: bool) -> jax.Array:
        """Decode latents (B, latents), from a feature map of the smallest (height, width), to images."""
        widest = self.width * 2 ** (self.halvings - 1)
        y = nn.Dense(smallest[0] * smallest[1] * widest, use_bias=False)(latents)
        y = nn.relu(batch_norm(train)(y.reshape(-1, *smallest, widest)))
        for number in range(self.halvings - 2, -1, -1):
            y = nn.relu(batch_norm(train)(DoublingConv(self.width * 2**number)(y)))
        return jnp.tanh(DoublingConv(3)(y))


class Generator(nn.Module):
    """Encode images, decode their latents, and encode the reconstruction."""

    width: int
    halvings: int
    latents: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> Generated:
        """Reconstruct images (B, h, w, 3), -1 to 1; with `train`, batch norms use the batch."""
        smallest, latents = Encoder(self.width, self.halvings, self.latents, name="encoder")(images, train)
        decoder = Decoder(self.width, self.halvings, name="decoder")
        drawn = decoder(latents, (smallest.shape[1], smallest.shape[2]), train)
        _, again = Encoder(self.width, self.halvings, self.latents, name="second_encoder")(drawn, train)
        return Generated(drawn, latents, again)


def discriminate(discriminator: Encoder, params: Variables, images: jax.Array) -> Judged:
    """Judge images (B, h, w, 3) with the batch norms of the batch."""
    (features, logits), _ = discriminator.apply({"params": params}, images, True, mutable=["batch_stats"])
    return Judged(features, logits[:, 0])


class Terms(NamedTuple):
    """The losses of the generator, equations 1 to 3, as means of the authors' code.

    Attributes:
      adversarial: The mean squared difference of the discriminator's features of real and generated images.
      contextual: The mean absolute difference of images.
      encoder: The mean squared difference of latents.
    """

    adversarial: jax.Array
    contextual: jax.Array
    encoder: jax.Array

    @property
    def total(self) -> jax.Array:
        """The weighted sum (equation 4)."""
        return ADVERSARIAL * self.adversarial + CONTEXTUAL * self.contextual + ENCODER * self.encoder


def generator_terms(images: jax.Array, output: Generated, real: jax.Array, drawn: jax.Array) -> Terms:
    """Return the losses of a reconstruction; `real` and `drawn` are the discriminator's features."""
    return Terms(
        ((real - drawn) ** 2).mean(),
        jnp.abs(images - output.images).mean(),
        ((output.latents - output.latents_again) ** 2).mean(),
    )


def discriminator_loss(real: jax.Array, drawn: jax.Array) -> jax.Array:
    """Return the mean binary cross-entropy of logits (B,) of real and of generated images."""
    return (nn.softplus(-real).mean() + nn.softplus(drawn).mean()) / 2


def restarted(params: Variables, fresh: Variables, loss: jax.Array) -> Variables:
    """Return the fresh parameters of a discriminator whose loss has vanished, otherwise its own."""
    return jax.tree.map(lambda a, b: jnp.where(loss < LEAST_LOSS, b, a), params, fresh)


class Carry(NamedTuple):
    """Both networks and the states of their optimisers."""

    generator: Variables
    discriminator: Variables
    generator_optimizer: Any
    discriminator_optimizer: Any


def train_ganomaly(
    generator: Generator, images: jax.Array, steps: int, seed: int, name: str
) -> tuple[State, np.ndarray]:
    """Train a generator against a discriminator, both with Adam and a progress bar.

    Args:
      generator: The network.
      images: float32 (K, h, w, 3), -1 to 1.
      steps: The number of steps of at most `BATCH` different images.
      seed: The seed of the initial parameters and of the order of the images.
      name: The name in the progress bar.

    Returns:
      The state, and the generator's loss of every step (steps,).
    """
    rng = np.random.default_rng(seed)
    start = _start(generator, seed, images[:1])
    fresh = jax.tree.map(jnp.copy, start.discriminator)  # since a step overwrites its carry

    def step(carry: Carry, number: int) -> tuple[Carry, jax.Array]:
        del number
        return _step(generator, carry, images[rng.permutation(len(images))[:BATCH]], fresh)

    carry, losses = run_steps(step, start, steps, name)
    return State(**carry.generator), losses


def _adam(width: int) -> Any:
    import optax  # takes a tenth of a second to import

    return optax.adam(LEARNING_RATE * PUBLISHED_WIDTH / width, b1=0.5)


def _discriminator(generator: Generator) -> Encoder:
    return Encoder(generator.width, generator.halvings, 1)


def _start(generator: Generator, seed: int, images: jax.Array) -> Carry:
    made = initial_variables(generator, [seed, 0], images)
    judge = initial_variables(_discriminator(generator), [seed, 1], images)["params"]
    adam = _adam(generator.width)
    return Carry(made, judge, adam.init(made["params"]), adam.init(judge))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(generator: Generator, carry: Carry, batch: jax.Array, fresh: Variables) -> tuple[Carry, jax.Array]:
    import optax

    judge = functools.partial(discriminate, _discriminator(generator))
    statistics = carry.generator["batch_stats"]

    def generator_loss(params: Variables) -> tuple[jax.Array, Any]:
        made: Any = {"params": params, "batch_stats": statistics}
        output, changed = generator.apply(made, batch, train=True, mutable=["batch_stats"])
        real, drawn = (judge(carry.discriminator, x).features for x in (batch, output.images))
        return generator_terms(batch, output, real, drawn).total, (output.images, changed)

    def judge_loss(params: Variables, drawn: jax.Array) -> jax.Array:
        return discriminator_loss(*(judge(params, x).logits for x in (batch, drawn)))

    adam, old = _adam(generator.width), carry.generator["params"]
    (loss, (drawn, changed)), gradient = jax.value_and_grad(generator_loss, has_aux=True)(old)
    updates, state = adam.update(gradient, carry.generator_optimizer, old)
    made = {"params": optax.apply_updates(old, updates), **changed}
    mistake, gradient = jax.value_and_grad(judge_loss)(carry.discriminator, drawn)
    updates, judge_state = adam.update(gradient, carry.discriminator_optimizer, carry.discriminator)
    judged = optax.apply_updates(carry.discriminator, updates)
    return Carry(made, restarted(judged, fresh, mistake), state, judge_state), loss
