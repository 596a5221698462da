"""What detectors share that know a product by good images of it alone: patch features of middle layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.backbones.vit import layer_name
from vlmad_jax.methods.detector import Detector, check_feature_layers
from vlmad_jax.scoring.maps import blur, upsample

Features = dict[str, Any]

# Good images encoded at a time: their features are kept on the host.
FILL_BATCH = 8
# Of the blur, in pixels, for images of 224: that of all these papers.
BLUR_SIGMA_224 = 4


class ReferenceDetector(Detector):
    """A detector of good images and no words.

    A method is a frozen dataclass with the fields `clip`, `image_size` and `feature_layers` at least, and
    defines `prepare` and `score_with`. What the papers take from middle stages of a ResNet comes here from
    the residual stream of middle layers, so that all methods read the same features.
    """

    image_size: int
    feature_layers: tuple[int, ...]

    references: ClassVar = "always"

    @classmethod
    def for_backbone(cls, clip: CLIP) -> Self:
        """The published setting in proportion to a backbone: its own image size, the middle layers."""
        return cls(clip, clip.config.vision.image_size, middle_layers(clip))  # type: ignore[call-arg]

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Distances have no bound."""
        del references
        return math.inf, math.inf

    @property
    def size(self) -> int:
        """S, the side of the images it takes, in pixels."""
        return self.image_size

    @property
    def blur_sigma(self) -> float:
        """Of the Gaussian blur of maps, in pixels, in proportion to the size of the images."""
        return BLUR_SIGMA_224 * self.size / 224

    def pixel_map(self, patch_scores: jax.Array) -> jax.Array:
        """Scores of patches (B, P) upsampled bilinearly, then blurred: (B, S, S)."""
        maps = upsample(patch_scores.reshape(-1, *self.grid), (self.size, self.size))
        return blur(maps, self.blur_sigma)

    def __post_init__(self) -> None:
        """Raises InputError unless image size and feature layers fit the backbone."""
        object.__setattr__(self, "feature_layers", tuple(self.feature_layers))
        check_feature_layers(self.clip, self.image_size, self.feature_layers)

    def extract(self, variables: dict[str, Any], images: jax.Array) -> Features:
        """Features of images: "image" (B, E), and "patches" (B, P, L D), the layers one after another."""
        vision = self.clip.vision().bind(variables)

        def encode(images: jax.Array) -> Features:
            hidden, layers = vision.transform(vision.embed(images))
            patches = [layers[layer_name(n)][:, 1:] for n in self.feature_layers]
            return {"image": vision.project(hidden[:, 0]), "patches": jnp.concatenate(patches, axis=-1)}

        return map_images(encode, images, tokens=1 + self.grid[0] * self.grid[1])

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.clip.compile("vision", self.extract)

    def good_features(self, references: Array | None, params: Any) -> Features:
        """`extract` of the good images uint8 (K, S, S, 3), as NumPy arrays, a few images at a time.

        Raises:
          InputError: no good images, or of another shape or type; parameters, of which there are none.
        """
        return self.encode(self.check_good(references, params))

    def check_good(self, references: Array | None, params: Any) -> np.ndarray:
        """The good images; raises InputError unless they are there and fit, and parameters are not."""
        self.refuse_params(params)
        self.check_references(references is not None)
        references = np.asarray(references)
        check_images(references, "references", self.size, self.size)
        return references

    def encode(self, images: np.ndarray) -> Features:
        """`extract` of any number of images, as NumPy arrays, a few at a time."""
        # The last batch is filled up, so that all compile once.
        missing = -len(images) % FILL_BATCH
        filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        parts = [
            jax.device_get(self._extract(filled[k : k + FILL_BATCH]))
            for k in range(0, len(filled), FILL_BATCH)
        ]
        return jax.tree.map(lambda *x: np.concatenate(x)[: len(images)], *parts)


def middle_layers(clip: CLIP) -> tuple[int, ...]:
    """The layers at half and three quarters of the vision transformer, each once.

    Low layers see single patches, the last see what the image is of; the papers too take the two stages
    between.
    """
    layers = clip.config.vision.layers
    return tuple(sorted({max(1, round(layers / 2)), max(1, round(layers * 3 / 4))}))
