"""The contract of all detectors, their scores and features, and checks of their hyper-parameters."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables, check_layers
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.system import Params, System
from vlmad_jax.runtime.sizes import ImageSize, height_and_width, plain


class Scores(NamedTuple):
    """The scores of B images; higher is more anomalous.

    Attributes:
      image: (B,) float32.
      map: (B, height, width) float32, a score for each pixel.
    """

    image: Array
    map: Array


class Features(NamedTuple):
    """The features of B images.

    Attributes:
      image: (B, E).
      patches: (B, P, ...), or (B, L, P, ...) for L layers.
    """

    image: jax.Array
    patches: jax.Array


def by_name(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the leaves of nested dicts by their names with those of the dicts around them.

    >>> by_name({"kernel": 1, "memory": {"keys": 2, "values": 3}})
    {'kernel': 1, 'memory.keys': 2, 'memory.values': 3}
    """
    leaves: dict[str, Any] = {}
    for name, branch in tree.items():
        nested = isinstance(branch, Mapping)
        leaves |= by_name(branch, f"{above}{name}.") if nested else {f"{above}{name}": branch}
    return leaves


class Detector(System):
    """A system that scores images one by one.

    A method defines `for_backbone`, `size`, `prepare` and `score_with`, and the class variables below and of
    `System`.

    Attributes:
      references: Whether the method uses reference images.
      state_type: The named tuple that `prepare` returns; None if it returns another tree of arrays.
    """

    references: ClassVar[Literal["never", "if given", "always"]]
    state_type: ClassVar[type | None] = None

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return the upper bounds of image scores and of maps, whose lower bound is 0.

        The bound is 1 for probabilities and infinite for distances.
        """
        del references
        return 1.0, 1.0

    def init(self, key: jax.Array) -> Params:
        """Return initial parameters; {} if the method learns none."""
        del key
        return {}

    @abc.abstractmethod
    def prepare(self, object_name: str, references: Array | None = None, params: Params | None = None) -> Any:
        """Return the state of one category, a tree of arrays.

        Args:
          object_name: The object's name in prompts, "metal nut".
          references: uint8 (K, height, width, 3) reference images, or None.
          params: The learned parameters; {} or None if the method learns none.

        Raises:
          InputError: References or parameters are missing, unused or of another shape or type.
        """

    @abc.abstractmethod
    def score_with(self, variables: Variables, state: Any, images: jax.Array) -> Scores:
        """Score images with the variables of the backbone's image encoder; a pure function."""

    def score(self, state: Any, images: Array) -> Scores:
        """Score images, compiled once for each shape.

        Args:
          state: The state from `prepare`.
          images: uint8 (B, height, width, 3), of the detector's `size`.

        Raises:
          InputError: The images have another shape or type.
        """
        check_images(images, "images", self.backbone.patch_size, self.size)
        return self._score(state, images)

    @functools.cached_property
    def _score(self) -> Callable[[Any, Array], Scores]:
        return self.backbone.compile("vision", self.score_with)

    @classmethod
    def check_references(cls, given: bool) -> None:
        """Check that reference images are given if and only if the method uses them.

        Raises:
          InputError: They are missing or unused.
        """
        if cls.references == "always" and not given:
            raise InputError(
                f"{cls.name} needs reference images; use experiments.few_shot with --shots=4 or --shots=all"
            )
        if cls.references == "never" and given:
            raise InputError(f"{cls.name} takes no reference images; use experiments.zero_shot")

    def check_no_params(self, params: Params | None) -> None:
        """Check that a method without learned parameters gets none.

        Raises:
          InputError: It gets some.
        """
        if params:
            raise InputError(f"{self.name} learns no parameters but got {', '.join(params)}; remove them")

    def checked_references(self, references: Array | None, params: Params | None) -> np.ndarray:
        """Return the reference images of a method that needs them and learns no parameters.

        Raises:
          InputError: References are missing or of another shape or type, or parameters are given.
        """
        self.check_no_params(params)
        self.check_references(references is not None)
        references = np.asarray(references)
        check_images(references, "references", self.backbone.patch_size, self.size)
        return references


def check_finite(scores: Scores, backbone: Backbone) -> None:
    """Check that fetched scores (B,) and maps (B, ...) are finite.

    Raises:
      InputError: They are not; the message names the weights.
    """
    largest = scores.map.reshape(len(scores.map), -1).max(axis=1, initial=0)  # NaN if any pixel is NaN
    if not (np.isfinite(scores.image).all() and np.isfinite(largest).all()):
        raise InputError(
            f"{backbone.name}: gives scores that are not finite with dtype {backbone.dtype}; "
            "give other weights, or --dtype=float32 if it was another"
        )


def check_range(name: str, value: int, least: int, most: int | None) -> None:
    """Check that a hyper-parameter is `least` to `most`, which depend on the backbone.

    Raises:
      InputError: It is not.
    """
    if value < least or (most is not None and value > most):
        limit = f"{least} or more" if most is None else f"{least} to {most}"
        raise InputError(f"{name} {value} does not fit this backbone; give {limit}")


def check_image_size(backbone: Backbone, image_size: ImageSize) -> None:
    """Check that an image size is whole patches of the backbone, or the size that it was trained with.

    Raises:
      InputError: It is not.
    """
    patch, given = backbone.patch_size, plain(image_size)
    for side in height_and_width(image_size):
        if side < patch:
            raise InputError(f"image_size {given} does not fit this backbone; give {patch} or more")
        if side % patch and given != backbone.image_size:
            near = side // patch * patch
            raise InputError(
                f"image_size {given} is not divisible by the patch size of {patch} pixels; "
                f"give {near} or {near + patch} in place of {side}"
            )


def check_feature_layers(backbone: Backbone, image_size: ImageSize, feature_layers: Sequence[int]) -> None:
    """Check that the image size and the feature layers, counted from 1, fit the backbone.

    Raises:
      InputError: They do not, or there is no layer, or a layer repeats.
    """
    check_image_size(backbone, image_size)
    check_layers(backbone, feature_layers)


class TextDetector(Detector):
    """A detector that compares images with texts, so that its backbone is a CLIP, in the field `clip`."""

    clip: CLIP

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        """Check that a backbone has a text encoder.

        Raises:
          InputError: It has none; the message names the methods that need none.
        """
        from vlmad_jax.methods import METHODS  # of which this is a part

        if not isinstance(backbone, CLIP):
            others = [name for name, kind in METHODS.items() if not issubclass(kind, TextDetector)]
            raise InputError(
                f"{backbone.name}: {backbone.family} has no text encoder, which {cls.name} needs; give the "
                f"weights of a CLIP or a SigLIP with both towers, or one of the methods {', '.join(others)}"
            )

    @property
    def backbone(self) -> CLIP:  # type: ignore[override]
        """The frozen network."""
        return self.clip
