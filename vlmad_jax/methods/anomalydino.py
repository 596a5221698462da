"""AnomalyDINO: distances from the nearest patches of reference images (Damm et al., WACV 2025).

Memory (section 3.1): the patch features of reference images and of rotated copies, after the last layer and
its norm. Foreground (section 3.2): patches that are background by the first principal component of their own
image are no anomalies.

Scores (section 3.1): a patch's score is 1 - its cosine to the nearest feature in memory. An image's score is
the mean of the 1% largest of its patches, so that it does not depend on the map's blur.

Batched: without references, the patches of a whole unlabelled set are scored by those of the other images.
The mean distance from the nearest 0.1% of them takes the place of the distance from the nearest one.

The numbers equal those of the authors' code, of which three things surprise. By default, masks are those of
test images alone. Masks are filtered in reading order, see `scoring.foreground`. And maps are made at the
size of the original image, whatever was cut off of it: `pixel_map` takes that size, and `score` returns maps
at the size of its input.

The authors rotate references before they resize them. `prepare` gets resized ones, which changes distances
by about a thousandth.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.vit_backbone import ViTBackbone
from vlmad_jax.data.rotation import rotate_mirrored
from vlmad_jax.errors import InputError
from vlmad_jax.methods.batched import Batched
from vlmad_jax.methods.detector import Features, Params, Scores, check_image_size
from vlmad_jax.methods.encoding import ENCODE_BATCH, map_batches
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.foreground import check_filter, foreground
from vlmad_jax.scoring.maps import blur, mean_of_largest, upsample
from vlmad_jax.scoring.mutual import mutual_distances
from vlmad_jax.scoring.neighbours import cosine_distances

# The angles of `paper`, to which the image as it is belongs.
EIGHT = (45, 90, 135, 180, 225, 270, 315)


class State(NamedTuple):
    """The memory of one category.

    Attributes:
      memory: (M, D) of length 1, the patches of all references and their rotated copies. Background patches
        are replaced by one of the foreground, which changes no distance and keeps the shape.
    """

    memory: jax.Array


@dataclass(frozen=True, eq=False)
class AnomalyDINO(ReferenceDetector, Batched):
    """AnomalyDINO on any backbone.

    Attributes:
      backbone: The frozen network; the paper's is DINOv2-S.
      image_size: The side of the images in pixels, or (height, width); None is the backbone's own.
      rotations: The angles in degrees, counter-clockwise, of the copies of each reference image. The image as
        it is always belongs to the memory.
      mask_foreground: Whether patches of the background have the score 0.
      mask_references: Whether patches of the background of reference images are left out of the memory.
      mask_filter: How masks are filtered, a name in `scoring.foreground.FILTERS`.
      position_resize: The rule for learned positions at another size than the trained one, a name in
        `positions.POSITION_RESIZES`; None is the backbone's own. The published numbers are those of DINOv2's
        own code, "hub bicubic".
      blur_sigma: The standard deviation of the map's blur in pixels; 0 means none.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is unknown.
    """

    backbone: Backbone
    image_size: ImageSize | None = None  # type: ignore[assignment]
    rotations: tuple[int, ...] = ()
    mask_foreground: bool = False
    mask_references: bool = False
    mask_filter: str = "flat"
    position_resize: str | None = None
    blur_sigma: float = 4.0

    name: ClassVar[str] = "anomalydino"
    options: ClassVar = ("rotations", "mask_foreground", "mask_references", "mask_filter")
    reference_options: ClassVar = ("rotations", "mask_references")
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotations", tuple(self.rotations))
        if self.image_size is None:
            object.__setattr__(self, "image_size", self.backbone.image_size)
        check_image_size(self.backbone, self.size)
        check_filter(self.mask_filter)
        self.network  # noqa: B018  raises now if the backbone has no such rule
        if not self.blur_sigma >= 0:
            raise InputError(f"blur_sigma {self.blur_sigma} is below 0; give 0 for no blur")

    @classmethod
    def paper(cls, backbone: Backbone) -> AnomalyDINO:
        """Return the published setting: 448 pixels, rotated references, and the positions of DINOv2's code.

        Masks depend on the category: the authors use them where a look at references says that they work.
        """
        return cls(backbone, 448, EIGHT, position_resize="hub bicubic")

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> AnomalyDINO:
        """Return `paper` for a published DINOv2, else the backbone's own size without rotations."""
        published = (backbone.family, backbone.patch_size, backbone.image_size) == ("dinov2", 14, 518)
        return cls.paper(backbone) if published else cls(backbone)

    @functools.cached_property
    def network(self) -> Backbone:
        """The backbone with the rule for positions."""
        if self.position_resize is None:
            return self.backbone
        if not isinstance(self.backbone, ViTBackbone):
            raise InputError(
                f"position_resize {self.position_resize!r} is for DINOv2 and its kind, not for "
                f"{self.backbone.family}; remove it"
            )
        return self.backbone.with_position_resize(self.position_resize)

    @property
    def feature_layers(self) -> tuple[int, ...]:  # type: ignore[override]
        """The last layer."""
        return (len(self.backbone.widths),)

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return 2, the cosine distance of opposite features."""
        del references
        return 2.0, 2.0

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images: `image` (B, E) and `patches` (B, P, D) after the last norm."""

        def encode(images: jax.Array) -> Features:
            tokens = self.network.extract(variables, images, self.feature_layers, norm=True)
            return Features(tokens.image, tokens.patches[0])

        return map_images(encode, images, tokens=1 + self.grid[0] * self.grid[1])

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the memory of the reference images and their rotated copies; the name is unused.

        Raises:
          InputError: References are missing or of another shape or type, parameters are given, or all patches
            of the references are background.
        """
        del object_name
        references = self.checked_references(references, params)
        angles = [angle for angle in self.rotations if angle % 360]
        copies = [references, *(rotate_mirrored(references, angle) for angle in angles)]
        patches = self.encode(np.concatenate(copies)).patches  # (K, P, D)
        memory = np.reshape(patches, (-1, patches.shape[-1]))
        if self.mask_references:
            kept = np.concatenate([np.asarray(self._foreground(image[None]))[0] for image in patches])
            if not kept.any():
                raise InputError("every patch of the references is background; remove --mask_references")
            memory[~kept] = memory[kept.argmax()]
        # In place and with one copy to the device (`asarray` makes two), because the memory may be large.
        lengths = np.sqrt(np.einsum("md,md->m", memory, memory))
        memory /= np.maximum(lengths, 1e-8)[:, None]
        return State(jax.device_put(memory))

    @functools.cached_property
    def _foreground(self) -> Callable[[Array], jax.Array]:
        return jax.jit(self.foreground)

    def foreground(self, patches: jax.Array) -> jax.Array:
        """Return whether patches (B, P, D) are foreground: bool (B, P)."""
        return foreground(patches, self.grid, self.mask_filter)

    def distances(self, state: State, patches: jax.Array) -> jax.Array:
        """Return the scores of patches: (B, P, D) -> (B, P), 0 to 2."""
        distances = cosine_distances(patches.reshape(-1, patches.shape[-1]), state.memory)
        return self.without_background(distances.reshape(patches.shape[:2]), patches)

    def without_background(self, distances: jax.Array, patches: jax.Array) -> jax.Array:
        """Return the scores of patches (B, P) by their distances: 0 for background if it is masked."""
        return jnp.where(self.foreground(patches), distances, 0) if self.mask_foreground else distances

    def pixel_map(self, patch_scores: jax.Array, size: tuple[int, int] | None = None) -> jax.Array:
        """Upsample patch scores bilinearly and blur them: (B, P) -> (B, *size).

        Args:
          patch_scores: The scores from `distances`.
          size: The (height, width) of the map. The authors' is that of the original image; None is the
            detector's own.
        """
        maps = upsample(patch_scores.reshape(-1, *self.grid), size or self.size)
        return blur(maps, self.blur_sigma)

    def scores(self, patch_scores: jax.Array) -> Scores:
        """Return the scores of images (B,) and pixels (B, height, width) by those of patches (B, P)."""
        return Scores(mean_of_largest(patch_scores), self.pixel_map(patch_scores))

    def score_features(self, state: State, features: Features) -> Scores:
        """Return scores of images (B,) and pixels (B, height, width), 0 to 2."""
        return self.scores(self.distances(state, features.patches))

    def score_together(self, features: Features) -> Scores:
        """Return scores of images (N,) and pixels (N, height, width), 0 to 2."""
        patches = np.asarray(features.patches)
        inputs = mutual_distances(patches), patches
        return map_batches(lambda some: self._scores(*some), inputs, ENCODE_BATCH)

    @functools.cached_property
    def _scores(self) -> Callable[[Array, Array], Scores]:
        return jax.jit(lambda distances, patches: self.scores(self.without_background(distances, patches)))
