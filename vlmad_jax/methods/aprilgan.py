"""APRIL-GAN: learned projections of patches into the space of words (Chen et al. 2023, VAND challenge).

Zero-shot (section 3.1): tokens of some layers, taken from the residual stream, are mapped by a linear layer
each and compared with sentences of a good and a defective object; the maps of the layers are added up.

Few-shot (section 3.2): the tokens, unmapped, are also compared with those of good samples; the distance to
the nearest is added to the map.

Training: the linear layers alone, with focal and dice loss, on images and masks of other products.

The maps equal the authors' code to float32 rounding. Its few-shot image score is normalised over all test
images of a category; here it is averaged with the map's maximum, so that no image changes another's.
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.backbones.vit import layer_name
from vlmad_jax.errors import InputError, few
from vlmad_jax.methods.detector import Scores, check_feature_layers
from vlmad_jax.methods.learned import (
    Features,
    LearnedDetector,
    Params,
    few_shapes,
    is_published_backbone,
    quarters,
)
from vlmad_jax.scoring.losses import dice_loss, focal_loss
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.prompts import APRIL_GAN, PromptEnsemble, ensemble_sentences

State = dict[str, Any]

TEMPERATURE = 0.01


@dataclass(frozen=True, eq=False)
class AprilGAN(LearnedDetector):
    """APRIL-GAN on any CLIP ViT.

    Attributes:
      clip: the backbone; the paper's is OpenAI's ViT-L/14@336.
      image_size: S, the side of the images in pixels.
      feature_layers: L of them, counted from 1, whose tokens are mapped and compared.
      prompts: the sentences.

    Raises:
      InputError: a setting that does not fit the backbone.
    """

    clip: CLIP
    image_size: int
    feature_layers: tuple[int, ...]
    prompts: PromptEnsemble = APRIL_GAN

    name: ClassVar[str] = "aprilgan"
    references: ClassVar = "if given"
    needs: ClassVar[str] = "learned projections"
    learns_from_labels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_layers", tuple(self.feature_layers))
        check_feature_layers(self.clip, self.image_size, self.feature_layers)

    @classmethod
    def paper(cls, clip: CLIP) -> AprilGAN:
        """The published setting: ViT-L/14@336 at 518 pixels, layers 6, 12, 18 and 24."""
        return cls(clip, image_size=518, feature_layers=(6, 12, 18, 24))

    @classmethod
    def for_backbone(cls, clip: CLIP) -> AprilGAN:
        """The published setting, for other backbones at their own size with each quarter of the layers."""
        if is_published_backbone(clip):
            return cls.paper(clip)
        return cls(clip, clip.config.vision.image_size, quarters(clip))

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Of a probability, and of the map, a sum of one a layer, and of cosine distances up to 2."""
        return 1.0, float(len(self.feature_layers) * (3 if references else 1))

    # Words

    def text_features(self, object_name: str) -> jax.Array:
        """The mean direction of the sentences, normal and anomalous: (2, E), of length 1."""
        sentences = ensemble_sentences(self.clip, self.prompts, object_name)
        embeddings = normalise(self.clip.encode_text(sentences[0] + sentences[1]))
        means = [x.mean(axis=0) for x in jnp.split(embeddings, [len(sentences[0])])]
        return normalise(jnp.stack(means))

    def context(self, class_names: Sequence[str] = ()) -> State:
        """What is frozen: the vision transformer's variables, and the "text" (C, 2, E) of each class."""
        text = jnp.stack([self.text_features(name) for name in class_names])
        return {"vision": {"params": self.clip.params["vision"]}, "text": text}

    # Images

    def extract(self, variables: dict[str, Any], images: jax.Array) -> Features:
        """Features of images: "image" (B, E) and tokens as they are, "patches" (B, L, P, D)."""
        vision = self.clip.vision("bicubic").bind(variables)

        def encode(images: jax.Array) -> Features:
            hidden, layers = vision.transform(vision.embed(images))
            patches = [layers[layer_name(n)][:, 1:] for n in self.feature_layers]
            return {"image": vision.project(hidden[:, 0]), "patches": jnp.stack(patches, axis=1)}

        return map_images(encode, images, tokens=1 + self.grid[0] * self.grid[1])

    def probability_maps(self, params: Params, patches: jax.Array, text: jax.Array) -> jax.Array:
        """The probability of "anomalous": (B, L, P, D), (B, 2, E) -> (B, L, S, S), 0 to 1.

        Cosines are upsampled before the softmax, of which their difference is all that matters.
        """
        mapped = einsum("blpd,lde->blpe", patches, params["kernel"]) + params["bias"][:, None]
        difference = text[:, 1] - text[:, 0]  # (B, E)
        logits = einsum("blpe,be->blp", normalise(mapped), difference) / TEMPERATURE
        return jax.nn.sigmoid(self.to_pixels(logits))

    def reference_map(self, patches: jax.Array, memory: jax.Array) -> jax.Array:
        """Cosine distances to the nearest good token: (B, L, P, D), (L, M, D) -> (B, S, S), 0 to 2 L."""
        by_layer = (patches.swapaxes(0, 1), memory)
        distances = jax.lax.map(lambda layer: 2 * association_scores(*layer), by_layer)  # (L, B, P)
        return self.to_pixels(distances.swapaxes(0, 1)).sum(axis=1)

    def to_pixels(self, values: jax.Array) -> jax.Array:
        """Upsampled corner on corner: (B, L, P) -> (B, L, S, S)."""
        size = (self.size, self.size)
        maps = upsample(values.reshape(-1, *self.grid), size, align_corners=True)
        return maps.reshape(*values.shape[:2], *size)

    # Use

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the projections."""
        layers, config = len(self.feature_layers), self.clip.config
        return {"kernel": (layers, config.vision.width, config.embed_dim), "bias": (layers, config.embed_dim)}

    def init(self, key: jax.Array) -> Params:
        """Fresh projections as torch's linear layers have them: uniform, at most 1 / sqrt(D)."""
        keys, most = jax.random.split(key), 1 / math.sqrt(self.clip.config.vision.width)
        return {
            name: jax.random.uniform(key, shape, minval=-most, maxval=most)
            for key, (name, shape) in zip(keys, self.shapes.items(), strict=True)
        }

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """The linear layers in a `.pth` file of the authors' training, "fc.0.weight" and on.

        Raises:
          InputError: a damaged or hostile file, or other names than expected.
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

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """The state for one kind of object.

        Args:
          object_name: as it should stand in a sentence, "metal nut".
          references: uint8 (K, S, S, 3) good samples, or None for zero-shot.
          params: the learned projections, from training or `load_params`.

        Returns:
          {"text": (2, E), "params": the projections}, and with references "memory" (L, K * P, D).

        Raises:
          InputError: references of another shape or type; no parameters, or of other shapes.
        """
        params = self.check_params(params, "the parameters")
        state = {"text": self.text_features(object_name), "params": jax.tree.map(jnp.asarray, params)}
        if references is None:
            return state
        check_images(references, "references", self.size, self.size)
        patches = self._extract(references)["patches"]  # (K, L, P, D)
        return state | {"memory": patches.swapaxes(0, 1).reshape(patches.shape[1], -1, patches.shape[3])}

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.clip.compile("vision", self.extract)

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,), 0 to 1, and map (B, S, S), 0 to L, with references to 3 L."""
        features = self.extract(variables, images)
        text = jnp.broadcast_to(state["text"], (len(images), *state["text"].shape))
        image_score = anomaly_probability(features["image"], state["text"], TEMPERATURE)
        anomaly_map = self.probability_maps(state["params"], features["patches"], text).sum(axis=1)
        if "memory" in state:
            reference_map = self.reference_map(features["patches"], state["memory"])
            anomaly_map = anomaly_map + reference_map
            largest = reference_map.max(axis=(1, 2)) / (2 * len(self.feature_layers))
            image_score = (image_score + largest) / 2
        return Scores(image_score, anomaly_map)

    # Training

    def loss(
        self, params: Params, context: State, batch: dict[str, Any]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The published loss: focal + dice of the anomalous map, summed over feature layers.

        Args:
          params: learned; all that the gradient is taken of.
          context: frozen, from `context`.
          batch: `class_id` int (B,), of the context's classes; `image` uint8 (B, S, S, 3), or `features` of
            `extract` in its place; `mask` uint8 (B, S, S).

        Returns:
          The loss, and its terms "focal" and "dice".
        """
        features = batch.get("features") or self.extract(context["vision"], batch["image"])
        text = context["text"][batch["class_id"]]  # (B, 2, E)
        maps = self.probability_maps(params, features["patches"].astype(jnp.float32), text)
        layers, mask = range(len(self.feature_layers)), batch["mask"]
        focal = sum((focal_loss(maps[:, n], mask) for n in layers), jnp.zeros(()))
        dice = sum((dice_loss(maps[:, n], mask) for n in layers), jnp.zeros(()))
        return focal + dice, {"focal": focal, "dice": dice}
