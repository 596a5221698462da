"""The contract of all detectors, their scores and features, and checks of their hyper-parameters."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import jax
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables, check_layers
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.runtime.pickling import PickleFieldsOnly
from vlmad_jax.runtime.sizes import ImageSize, height_and_width, plain

Params = dict[str, Any]  # learned parameters by the names that files have, in nested dicts for some methods


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


# Fields that `Detector.setting` leaves out.
UNSET = ("backbone", "clip", "prompts")


class Detector(PickleFieldsOnly, abc.ABC):
    """A published system, a frozen dataclass of its backbone and its hyper-parameters.

    A method defines `for_backbone`, `size`, `prepare` and `score_with`, and the class variables below.

    Attributes:
      backbone: The frozen network.
      name: The method's name in flags and files.
      references: Whether the method uses reference images.
      options: The fields of `MethodOptions` that the method has.
      state_type: The named tuple that `prepare` returns; None if it returns another tree of arrays.
      omitted_defaults: Values that `setting` omits. They belong to hyper-parameters that are younger than the
        first saved detectors, and leave the method as it was then.
    """

    backbone: Backbone
    name: ClassVar[str]
    references: ClassVar[Literal["never", "if given", "always"]]
    options: ClassVar[tuple[str, ...]] = ()
    state_type: ClassVar[type | None] = None
    omitted_defaults: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    @abc.abstractmethod
    def for_backbone(cls, backbone: Any) -> Self:
        """Return the published setting, scaled to a backbone of any depth and image size."""

    @classmethod
    def from_options(cls, backbone: Any, options: MethodOptions) -> tuple[Self, Params]:
        """Return the detector that a user asks for, and its parameters.

        The options replace values of the published setting.

        Raises:
          InputError: The method does not have an option, or its value is invalid.
        """
        cls.check_backbone(backbone)
        options.check(cls.name, cls.options)
        detector = cls.for_backbone(backbone)
        with options.named_in_errors(cls.options):
            return dataclasses.replace(detector, **options.chosen(cls.options)), {}  # type: ignore[type-var]

    @classmethod
    def with_setting(cls, backbone: Any, setting: Mapping[str, Any]) -> Self:
        """Return the detector whose `setting` this is, with the method's own prompts.

        Raises:
          InputError: The setting is one of another method or version, or does not fit the backbone.
        """
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        given = {k: tuple(x) if isinstance(x, list) else x for k, x in setting.items() if k in names}
        cls.check_backbone(backbone)
        try:
            detector = cls(backbone, **given)  # type: ignore[call-arg]
        except TypeError as error:
            raise InputError(f"the setting of {cls.name} is incomplete ({error}); fit again") from error
        if detector.setting != dict(setting):
            raise InputError(f"{cls.name} has no setting {dict(setting)}; use the version that wrote it")
        return detector

    @property
    @abc.abstractmethod
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""

    def at_size(self, size: ImageSize) -> Self:
        """Return the same detector for images of another size.

        Raises:
          InputError: The size does not fit the backbone, or the method has no `image_size`.
        """
        if "image_size" not in {field.name for field in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise InputError(f"{self.name} has a fixed image size; remove --resize")
        return dataclasses.replace(self, image_size=size)  # type: ignore[type-var]

    @property
    def setting(self) -> dict[str, Any]:
        """The hyper-parameters by name, without prompts, which belong to the method."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        fields |= {"image_size": plain(self.size)}
        listed = {name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}
        omitted = self.omitted_defaults.items()
        return {k: x for k, x in listed.items() if k not in UNSET and (k, x) not in omitted}

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.backbone.grid(*self.size)

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
    def check_backbone(cls, backbone: Backbone) -> None:
        """Check that a backbone has what the method needs of it; features are what every backbone has.

        Raises:
          InputError: It has not.
        """

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
