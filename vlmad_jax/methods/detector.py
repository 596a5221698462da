"""What every detector shares: its contract, its scores, and what turns features and words into them."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import jax
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.runtime.pickling import FieldsAlone


class Scores(NamedTuple):
    """What a detector says of B images; higher is more anomalous.

    Attributes:
      image: (B,) float32.
      map: (B, S, S) float32, a score a pixel.
    """

    image: Array
    map: Array


class Detector(FieldsAlone, abc.ABC):
    """A published system: a frozen dataclass of its hyper-parameters and its backbone `clip`.

    `init` makes learnable parameters, `prepare` the state of one kind of object, `score` the scores of
    images. A method defines `for_backbone`, `size`, `prepare` and `score_with`, and says whether it uses good
    images.
    """

    clip: CLIP
    name: ClassVar[str]
    references: ClassVar[Literal["never", "if given", "always"]]
    options: ClassVar[tuple[str, ...]] = ()  # of `methods.options`, those that it has

    @classmethod
    @abc.abstractmethod
    def for_backbone(cls, clip: CLIP) -> Self:
        """The published setting in proportion to a backbone of any depth and size."""

    @classmethod
    def from_options(cls, clip: CLIP, options: MethodOptions) -> tuple[Self, dict[str, Any]]:
        """The detector that a user asks for, and its parameters; InputError for what it does not have."""
        options.check(cls.name, cls.options)
        return cls.for_backbone(clip), {}

    @classmethod
    def with_setting(cls, clip: CLIP, setting: Mapping[str, Any]) -> Self:
        """The detector that has this `setting`, with the method's own sentences.

        Raises:
          InputError: it is that of another method or version, or does not fit the backbone.
        """
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        given = {k: tuple(x) if isinstance(x, list) else x for k, x in setting.items() if k in names}
        try:
            detector = cls(clip, **given)  # type: ignore[call-arg]
        except TypeError as error:
            raise InputError(f"the setting of {cls.name} is incomplete ({error}); fit again") from error
        if detector.setting != dict(setting):
            raise InputError(f"{cls.name} has no setting {dict(setting)}; use the version that wrote it")
        return detector

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """S, the side of the images it takes, in pixels."""

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """The largest image score and the largest value of a map that there can be; the least is 0.

        1 for probabilities, half of which says neither good nor defective; infinite for distances.
        """
        del references
        return 1.0, 1.0

    @abc.abstractmethod
    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> Any:
        """The state of one kind of object."""

    @abc.abstractmethod
    def score_with(self, variables: dict[str, Any], state: Any, images: jax.Array) -> Scores:
        """`score` as a pure function of the vision transformer's variables too."""

    @classmethod
    def check_references(cls, given: bool) -> None:
        """Raises InputError unless good images are given to a method that needs them, or withheld from one
        that has no use for them."""
        if cls.references == "always" and not given:
            raise InputError(
                f"{cls.name} knows a product by good images of it alone; "
                "use experiments.few_shot --shots=4, or --shots=all"
            )
        if cls.references == "never" and given:
            raise InputError(f"{cls.name} takes no good samples; use experiments.zero_shot")

    def refuse_params(self, params: dict[str, Any] | None) -> None:
        """Raises InputError if parameters are given to a method that learns none."""
        if params:
            raise InputError(
                f"{self.name} learns no parameters but was given {', '.join(params)}; leave them out"
            )

    @property
    def setting(self) -> dict[str, Any]:
        """The hyper-parameters by name, without sentences: those are part of the method."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        shown = {name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}
        return {k: x for k, x in shown.items() if k not in ("clip", "prompts")} | {"image_size": self.size}

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.size // self.clip.config.vision.patch_size
        return side, side

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Fresh parameters; {} where nothing is learned."""
        del key
        return {}

    def score(self, state: Any, images: Array) -> Scores:
        """Scores uint8 (B, S, S, 3) images: image (B,) and map (B, S, S). Compiled once a shape.

        Raises:
          InputError: images of another shape or type.
        """
        check_images(images, "images", self.size, self.size)
        return self._score(state, images)

    @functools.cached_property
    def _score(self) -> Callable[[Any, Array], Scores]:
        return self.clip.compile("vision", self.score_with)


def check_finite(scores: Scores, detector: Detector) -> None:
    """Raises InputError, naming the weights, if a fetched score (B,) or map (B, ...) is NaN or infinite."""
    largest = scores.map.reshape(len(scores.map), -1).max(axis=1, initial=0)  # NaN where there is one
    if not (np.isfinite(scores.image).all() and np.isfinite(largest).all()):
        raise InputError(
            f"{detector.clip.name}: gives scores that are not finite with dtype {detector.clip.dtype}; "
            "give other weights, or --dtype=float32 if it was another"
        )


def check_range(name: str, value: int, least: int, most: int | None) -> None:
    """Raises InputError, naming what does not fit the backbone."""
    if value < least or (most is not None and value > most):
        limit = f"{least} or more" if most is None else f"{least} to {most}"
        raise InputError(f"{name} {value} does not fit this backbone; give {limit}")


def check_feature_layers(clip: CLIP, image_size: int, feature_layers: Sequence[int]) -> None:
    """Raises InputError unless image size and feature layers, counted from 1, fit the backbone."""
    vision = clip.config.vision
    check_range("image_size", image_size, vision.patch_size, None)
    for layer in feature_layers:
        check_range("feature layer", layer, 1, vision.layers)
    if not feature_layers or len(set(feature_layers)) < len(feature_layers):
        raise InputError(f"feature layers {feature_layers} have to be one or more, each once")
