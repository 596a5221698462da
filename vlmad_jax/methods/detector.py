"""What every detector shares: its contract, its scores, and what turns features and words into them."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import jax
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.runtime.pickling import PickleFieldsOnly
from vlmad_jax.scoring.neighbours import normalise


class Scores(NamedTuple):
    """What a detector says of B images; higher is more anomalous.

    Attributes:
      image: (B,) float32.
      map: (B, S, S) float32, a score a pixel.
    """

    image: Array
    map: Array


class Detector(PickleFieldsOnly, abc.ABC):
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


def check_finite(scores: Scores, detector: Any) -> None:
    """Raises InputError, naming the weights, if a fetched score (B,) or map (B, ...) is NaN or infinite."""
    largest = scores.map.reshape(len(scores.map), -1).max(axis=1, initial=0)  # NaN where there is one
    if not (np.isfinite(scores.image).all() and np.isfinite(largest).all()):
        raise InputError(
            f"{detector.clip.name}: gives scores that are not finite with dtype {detector.clip.dtype}; "
            "give other weights, or --dtype=float32 if it was another"
        )


def state_cosines(features: jax.Array, text_features: jax.Array) -> jax.Array:
    """Cosines of features with the normal and the anomalous text: (..., E), (2, E) -> (..., 2)."""
    rows = normalise(features).reshape(-1, features.shape[-1])
    return einsum("ne,ce->nc", rows, normalise(text_features)).reshape(*features.shape[:-1], 2)


def anomaly_probability(features: jax.Array, text_features: jax.Array, temperature: float) -> jax.Array:
    """softmax(cos(feature, text) / temperature) of the anomalous text: (..., E), (2, E) -> (...), 0 to 1.

    `text_features` are normal, then anomalous. Jeong et al. 2023, "WinCLIP", equation 1.
    """
    return jax.nn.softmax(state_cosines(features, text_features) / temperature, axis=-1)[..., 1]


def upsample(patch_map: jax.Array, size: tuple[int, int], align_corners: bool = False) -> jax.Array:
    """Bilinear upsampling, (B, rows, columns) -> (B, *size): half-pixel centres, or corner on corner."""
    shape, precision = (patch_map.shape[0], *size), jax.lax.Precision.HIGHEST
    if not align_corners or min(patch_map.shape[1:]) == 1:  # a single patch has no corners apart
        return jax.image.resize(patch_map, shape, "linear", antialias=False, precision=precision)
    scale = np.array(
        [(new - 1) / max(old - 1, 1) for new, old in zip(size, patch_map.shape[1:], strict=True)]
    )
    return jax.image.scale_and_translate(
        patch_map, shape, (1, 2), scale, 0.5 - 0.5 * scale, "linear", antialias=False, precision=precision
    )


def blur(maps: jax.Array, sigma: float) -> jax.Array:
    """Gaussian blur of maps (B, S, S), equal to scipy's `gaussian_filter` with its truncation and reflection.

    A blur is linear, so the filter of one axis is the matrix that scipy makes of the identity.
    """
    if not sigma:
        return maps
    from scipy.ndimage import gaussian_filter1d  # takes a quarter of a second to import

    rows, columns = (
        gaussian_filter1d(np.eye(side, dtype=np.float64), sigma, axis=0).astype(np.float32)
        for side in maps.shape[1:]
    )
    down = einsum("ts,bsu->btu", rows, maps)
    return einsum("btu,vu->btv", down, columns)
