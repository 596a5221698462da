"""MuSc: the images of an unlabelled set score each other (Li et al., ICLR 2024).

LNAMD (section 3.2): the patch features of some layers, each averaged over neighbourhoods of several degrees.

MSM (section 3.3): the score of a patch is its mean distance from those of the other images that are nearest
to it, the mean over all degrees and layers. The map is not blurred, and its maximum is the image score.

RsCIN (section 3.4): image scores are averaged over the images that look most alike.

Numbers equal those of the authors' code, also where the paper says otherwise or nothing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.backbone import Backbone, Tokens, Variables
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError
from vlmad_jax.methods.batched import Batched
from vlmad_jax.methods.detector import Features, Scores, check_feature_layers
from vlmad_jax.methods.encoding import map_batches
from vlmad_jax.methods.learned import is_published_backbone, quarter_layers
from vlmad_jax.runtime.sizes import ImageSize, height_and_width
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.mutual import interval_bounds, mutual_scores
from vlmad_jax.scoring.neighbourhoods import neighbourhood_mean
from vlmad_jax.scoring.neighbours import normalise

# The epsilon of the layer norm of LNAMD.
EPSILON = 1e-5
# The number of maps that are upsampled together.
MAPS = 16


@dataclass(frozen=True, eq=False)
class MuSc(Batched):
    """MuSc on any backbone.

    Attributes:
      backbone: The frozen network.
      image_size: The side of the images in pixels, or (height, width).
      feature_layers: The L layers, counted from 1, whose patches are compared.
      degrees: The R odd sides in patches of the neighbourhoods that LNAMD averages over.
      interval: The shares of the other images, sorted by distance, between which MSM averages.
      image_neighbours: The numbers of images, each itself among them, that RsCIN averages over. The authors
        take 1, 8 and 9 for VisA. 1 alone leaves the scores as they are, scaled to 0 to 1.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    backbone: Backbone
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    degrees: tuple[int, ...] = (1, 3, 5)
    interval: tuple[float, float] = (0.0, 0.3)
    image_neighbours: tuple[int, ...] = (1, 2, 3)

    name: ClassVar[str] = "musc"
    options: ClassVar = ("feature_layers", "image_neighbours")

    def __post_init__(self) -> None:
        for name in ("feature_layers", "degrees", "interval", "image_neighbours"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_feature_layers(self.backbone, self.image_size, self.feature_layers)
        if not self.degrees or any(degree < 1 or degree % 2 == 0 for degree in self.degrees):
            raise InputError(f"degrees {self.degrees} have to be odd numbers of patches; give 1, 3 and 5")
        if len(self.interval) != 2 or not 0 <= self.interval[0] < self.interval[1] <= 1:
            raise InputError(f"interval {self.interval} is not two ascending shares; give for example 0, 0.3")
        if not self.image_neighbours or min(self.image_neighbours) < 1:
            raise InputError(
                f"image_neighbours {self.image_neighbours} have to be 1 or more; give for example 1, 2 and 3"
            )

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> MuSc:
        """Return the published setting, scaled to a backbone of any depth and image size.

        It is the last layer of each quarter, and for ViT-L/14@336 images of 518 pixels.
        """
        published = isinstance(backbone, CLIP) and is_published_backbone(backbone)
        return cls(backbone, 518 if published else backbone.image_size, quarter_layers(backbone))

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""
        return height_and_width(self.image_size)

    @property
    def least_images(self) -> int:
        """The smallest set in which each patch has a distance to average and each image its neighbours."""
        enough = (n for n in itertools.count(2) if len(range(*interval_bounds(n - 1, self.interval))))
        return max(next(enough), *self.image_neighbours)

    def tokens(self, variables: Variables, images: jax.Array) -> Tokens:
        """Return the tokens after the feature layers, and the image embeddings.

        The position embeddings of a CLIP are resized by the plain bicubic rule of the authors' code, those of
        other networks by their own.
        """
        if not isinstance(self.backbone, CLIP):
            return self.backbone.extract(variables, images, self.feature_layers)
        vision = self.backbone.vision("plain bicubic").bind(variables)
        return vision.extract(images, self.feature_layers)

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the image embeddings (B, E), of length 1, and the patches of all layers (B, P, L D)."""

        def of_few(images: jax.Array) -> Features:
            tokens = self.tokens(variables, images)
            return Features(normalise(tokens.image), jnp.concatenate(tokens.patches, axis=-1))

        return map_images(of_few, images, tokens=1 + self.grid[0] * self.grid[1])

    def patch_scores(self, features: Features) -> np.ndarray:
        """Return the scores of MSM by degree and layer: float32 (R, L, N, P), from 0 to 2."""
        widths = [self.backbone.widths[layer - 1] for layer in self.feature_layers]
        layers = np.split(features.patches, np.cumsum(widths)[:-1], axis=-1)  # views, (N, P, D) each
        scores = []
        steps = list(itertools.product(self.degrees, layers))
        for degree, layer in tqdm(steps, desc="mutual scoring", leave=False, disable=None):
            embedded = functools.partial(embed, grid=self.grid, degree=degree)
            scores.append(mutual_scores(layer, self.interval, embedded))
        return np.stack(scores).reshape(len(self.degrees), len(layers), *scores[0].shape)

    def score_together(self, features: Features) -> Scores:
        """Return image scores (N,), from 0 to 1, and distances of pixels (N, height, width), 0 or more."""
        patches = self.patch_scores(features).mean(axis=(0, 1)).reshape(-1, *self.grid)
        maps = map_batches(functools.partial(pixel_maps, size=self.size), patches, MAPS)
        return Scores(
            rescored(maps.max(axis=(1, 2)), np.asarray(features.image), self.image_neighbours), maps
        )


def aggregate(patches: jax.Array, grid: tuple[int, int], degree: int) -> jax.Array:
    """Return the features of LNAMD before they are scaled to length 1: (B, P, D) -> (B, P, D).

    The layer norm is over all patches and channels of an image together.
    """
    mean = patches.mean(axis=(1, 2), keepdims=True)
    variance = patches.var(axis=(1, 2), keepdims=True)
    return neighbourhood_mean((patches - mean) / jnp.sqrt(variance + EPSILON), grid, degree)


@functools.partial(jax.jit, static_argnames=("grid", "degree"))
def embed(patches: jax.Array, grid: tuple[int, int], degree: int) -> jax.Array:
    """Return the features of LNAMD, of length 1: (B, P, D) -> (B, P, D)."""
    return normalise(aggregate(patches, grid, degree))


@functools.partial(jax.jit, static_argnames="size")
def pixel_maps(patch_scores: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Return maps of pixels: (B, rows, columns) -> (B, *size)."""
    return upsample(patch_scores, size, align_corners=True)


def rescored(scores: np.ndarray, embeddings: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Return image scores averaged over the images that look most alike (RsCIN).

    The scores are scaled to 0 to 1. For each number, the score of an image becomes the mean over that many
    images of the largest cosine, weighted by it; the image itself is one of them. The result is the mean over
    the numbers.

    Args:
      scores: (N,).
      embeddings: (N, E), of length 1.
      numbers: The numbers of images, 1 to N.

    Returns:
      float32 (N,); 0 if all scores are equal.
    """
    lowest, highest = scores.min(), scores.max()
    scaled = (scores - lowest) / max(highest - lowest, np.finfo(np.float32).tiny)
    cosines = embeddings.astype(np.float64) @ embeddings.astype(np.float64).T
    order = np.argsort(-cosines, axis=1, kind="stable")
    means = []
    for number in numbers:
        alike = order[:, :number]
        weights = np.take_along_axis(cosines, alike, axis=1)
        means.append((weights * scaled[alike]).sum(axis=1) / weights.sum(axis=1))
    return np.mean(means, axis=0).astype(np.float32)
