"""APRIL-GAN: learned projections of patches into the text embedding space (Chen et al. 2023, VAND challenge).

Zero-shot (section 3.1): the tokens of some layers, taken from the residual stream, are mapped by one linear
layer each and compared with normal and anomalous prompts. The maps of the layers are added up.

Few-shot (section 3.2): the tokens, not mapped, are also compared with those of reference images, and the
distances from the nearest are added to the map.

Training: the linear layers alone, with focal and dice loss, on images and masks of other categories.

The maps equal those of the authors' code up to float32 rounding. The authors normalise the few-shot image
scores over all test images of a category. Here the score is averaged with the map's maximum, so that no image
changes the score of another.
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.errors import InputError, few
from vlmad_jax.methods.detector import Features, Params, Scores, check_feature_layers
from vlmad_jax.methods.learned import (
    Batch,
    LearnedDetector,
    Terms,
    batch_features,
    few_shapes,
    is_published_backbone,
    quarter_layers,
)
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.losses import dice_loss, focal_loss
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.prompts import APRIL_GAN, PromptEnsemble, ensemble_prompts


class State(NamedTuple):
    """The text features, projections and memory of one category.

    Attributes:
      text: (2, E), normal and anomalous, of length 1.
      params: The projections.
      memory: (L, K P, D), or None without reference images.
    """

    text: jax.Array
    params: Params
    memory: jax.Array | None = None


class Context(NamedTuple):
    """The frozen arrays of the loss: the vision tower's variables, and the text (C, 2, E) of C classes."""

    vision: Variables
    text: jax.Array


@dataclass(frozen=True, eq=False)
class AprilGAN(LearnedDetector):
    """APRIL-GAN on any CLIP ViT.

    The parameters are "kernel" (L, D, E) and "bias" (L, E).

    Attributes:
      clip: The backbone; the paper's is OpenAI's ViT-L/14@336.
      image_size: The side of the images in pixels, or (height, width).
      feature_layers: The L layers, counted from 1, whose tokens are mapped and compared.
      prompts: The prompt ensemble.
      temperature: The temperature of the softmax over normal and anomalous.

    Raises:
      InputError: A hyper-parameter does not fit the backbone.
    """

    clip: CLIP
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    prompts: PromptEnsemble = APRIL_GAN
    temperature: float = 0.01

    name: ClassVar[str] = "aprilgan"
    references: ClassVar = "if given"
    needs: ClassVar[str] = "learned projections"
    learns_from_labels: ClassVar[bool] = False
    state_type: ClassVar = State
    omitted_defaults: ClassVar = {"temperature": 0.01}

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_layers", tuple(self.feature_layers))
        check_feature_layers(self.clip, self.image_size, self.feature_layers)

    @classmethod
    def paper(cls, clip: CLIP) -> AprilGAN:
        """Return the published setting: 518 pixels, layers 6, 12, 18 and 24."""
        return cls(clip, image_size=518, feature_layers=(6, 12, 18, 24))

    @classmethod
    def for_backbone(cls, clip: CLIP) -> AprilGAN:
        """Return the published setting; other backbones have their own image size and quarters of layers."""
        if is_published_backbone(clip):
            return cls.paper(clip)
        return cls(clip, clip.config.vision.image_size, quarter_layers(clip))

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return 1, and for maps that of a sum over layers of probabilities and cosine distances up to 2."""
        return 1.0, float(len(self.feature_layers) * (3 if references else 1))

    # Text and parameters

    def text_features(self, object_name: str) -> jax.Array:
        """Return the normal and anomalous text features of an object, (2, E), of length 1.

        Raises:
          InputError: Truncation makes a normal and an anomalous prompt equal.
        """
        normal, anomalous = ensemble_prompts(self.clip, self.prompts, object_name)
        embeddings = normalise(self.clip.encode_text(normal + anomalous))
        means = [x.mean(axis=0) for x in jnp.split(embeddings, [len(normal)])]
        return normalise(jnp.stack(means))

    def context(self, class_names: Sequence[str] = ()) -> Context:
        """Return the frozen arrays of the loss, with the text of each class."""
        text = jnp.stack([self.text_features(name) for name in class_names])
        return Context({"params": self.clip.params["vision"]}, text)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the projections by name."""
        layers, config = len(self.feature_layers), self.clip.config
        return {"kernel": (layers, config.vision.width, config.embed_dim), "bias": (layers, config.embed_dim)}

    def init(self, key: jax.Array) -> Params:
        """Return initial projections, uniform up to 1 / sqrt(D) as in torch's linear layers."""
        keys, most = jax.random.split(key), 1 / math.sqrt(self.clip.config.vision.width)
        return {
            name: jax.random.uniform(key, shape, minval=-most, maxval=most)
            for key, (name, shape) in zip(keys, self.shapes.items(), strict=True)
        }

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the text features of an object, and the memory of its reference images if they are given."""
        params = jax.tree.map(jnp.asarray, self.check_params(params, "the parameters"))
        text = self.text_features(object_name)
        if references is None:
            return State(text, params)
        check_images(references, "references", self.backbone.patch_size, self.size)
        patches = self._extract(references).patches  # (K, L, P, D)
        memory = patches.swapaxes(0, 1).reshape(patches.shape[1], -1, patches.shape[3])
        return State(text, params, memory)

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """Return the linear layers in a `.pth` file of the authors' training, "fc.0.weight" and on.

        Raises:
          InputError: The file is damaged or unsafe, or has other names or shapes.
        """
        content = read_torch_file(path)
        layers = content.get("trainable_linearlayer") if isinstance(content, dict) else None
        layers = unwrapped(layers, "fc.0.weight") if isinstance(layers, dict) else layers
        expected = [f"fc.{n}.{kind}" for n in range(len(self.feature_layers)) for kind in ("weight", "bias")]
        if not isinstance(layers, dict) or sorted(layers) != sorted(expected):
            there = layers if isinstance(layers, dict) else content
            found = few(map(str, there)) if isinstance(there, dict) else type(there).__name__
            raise InputError(
                f"{path}: expected an entry trainable_linearlayer of {expected[0]}, {expected[1]} to "
                f"{expected[-1]}, found "
                f"{found[:200]}; give a checkpoint of APRIL-GAN's training with as many layers"
            )
        if len({layers[name].shape for name in expected[::2]} | {layers[expected[1]].shape}) != 2:
            shapes = few_shapes({name: layers[name] for name in expected})
            raise InputError(f"{path}: expected layers of one shape, found {shapes}; give another checkpoint")
        return {
            "kernel": jnp.asarray(np.stack([layers[name].T for name in expected[::2]]), jnp.float32),
            "bias": jnp.asarray(np.stack([layers[name] for name in expected[1::2]]), jnp.float32),
        }

    # Images

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images: `image` (B, E), and tokens `patches` (B, L, P, D), not projected."""
        vision = self.clip.vision().bind(variables)

        def encode(images: jax.Array) -> Features:
            hidden, layers = vision.transform(vision.embed(images))
            patches = [layers[layer_name(n)][:, prefix:] for n in self.feature_layers]
            return Features(vision.pool(hidden), jnp.stack(patches, axis=1))

        prefix = vision.config.prefix
        return map_images(encode, images, tokens=prefix + self.grid[0] * self.grid[1])

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.clip.compile("vision", self.extract)

    def score_features(self, state: State, features: Features) -> Scores:
        """Return scores of images (B,), 0 to 1, and of pixels (B, h, w), 0 to L, or 3 L with references."""
        text = jnp.broadcast_to(state.text, (len(features.image), *state.text.shape))
        image_score = anomaly_probability(features.image, state.text, self.temperature)
        anomaly_map = self.layer_maps(state.params, features.patches, text).sum(axis=1)
        if state.memory is not None:
            reference_map = self.reference_map(features.patches, state.memory)
            anomaly_map = anomaly_map + reference_map
            largest = reference_map.max(axis=(1, 2)) / (2 * len(self.feature_layers))
            image_score = (image_score + largest) / 2
        return Scores(image_score, anomaly_map)

    def layer_maps(self, params: Params, patches: jax.Array, text: jax.Array) -> jax.Array:
        """Return the probability of "anomalous": (B, L, P, D), (B, 2, E) -> (B, L, h, w), 0 to 1.

        The difference of the two cosines decides it, and is upsampled before the softmax.
        """
        mapped = einsum("blpd,lde->blpe", patches, params["kernel"]) + params["bias"][:, None]
        difference = text[:, 1] - text[:, 0]  # (B, E)
        logits = einsum("blpe,be->blp", normalise(mapped), difference) / self.temperature
        return jax.nn.sigmoid(self.to_pixels(logits))

    def reference_map(self, patches: jax.Array, memory: jax.Array) -> jax.Array:
        """Return cosine distances from the nearest tokens: (B, L, P, D), (L, M, D) -> (B, h, w), 0 to 2 L."""
        by_layer = (patches.swapaxes(0, 1), memory)
        distances = jax.lax.map(lambda layer: 2 * association_scores(*layer), by_layer)  # (L, B, P)
        return self.to_pixels(distances.swapaxes(0, 1)).sum(axis=1)

    def to_pixels(self, values: jax.Array) -> jax.Array:
        """Upsample values of patches with aligned corners: (B, L, P) -> (B, L, h, w)."""
        maps = upsample(values.reshape(-1, *self.grid), self.size, align_corners=True)
        return maps.reshape(*values.shape[:2], *self.size)

    def loss(self, params: Params, context: Context, batch: Batch) -> tuple[jax.Array, Terms]:
        """Return the focal + dice loss of the anomalous maps, added up over layers.

        Args:
          params: The learned parameters, with respect to which the gradient is taken.
          context: The frozen arrays, from `context`.
          batch: `class_id` int (B,), of the context's classes; `image` uint8 (B, h, w, 3), or `features` from
            `extract` in its place; `mask` uint8 (B, h, w).

        Returns:
          The loss, and its terms "focal" and "dice".
        """
        features = batch_features(batch, functools.partial(self.extract, context.vision))
        text = context.text[batch["class_id"]]  # (B, 2, E)
        maps = self.layer_maps(params, features.patches, text)
        layers, mask = range(len(self.feature_layers)), batch["mask"]
        focal = sum((focal_loss(maps[:, n], mask) for n in layers), jnp.zeros(()))
        dice = sum((dice_loss(maps[:, n], mask) for n in layers), jnp.zeros(()))
        return focal + dice, {"focal": focal, "dice": dice}
