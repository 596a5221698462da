"""AnomalyCLIP's learned words inside WinCLIP's windows, as the comparison of the two proposes (section 5.3).

Each window of patches passes through the vision transformer by itself, as in WinCLIP, and is compared with
AnomalyCLIP's two learned prompts in place of sentences; windows and scales are combined by the harmonic mean,
the whole image being one scale. The map is the mean of that and of AnomalyCLIP's own, a layer; the image
score is the mean of AnomalyCLIP's and of the largest window score.

The proposal names the parts and leaves the fusion open; means are WinCLIP's way of joining two maps.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.methods.anomalyclip import AnomalyCLIP
from vlmad_jax.methods.detector import Detector, Scores
from vlmad_jax.methods.learned import Params
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.methods.winclip import WinCLIP
from vlmad_jax.scoring.maps import upsample

State = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Hybrid(Detector):
    """AnomalyCLIP and WinCLIP in one.

    Attributes:
      clip: the backbone.
      anomalyclip: whose prompts and map are used; its setting is the one that the prompts were learned with.
      window_sizes: sides of the windows in patches, each at most the grid's.

    Raises:
      InputError: a window that does not fit.
    """

    clip: CLIP
    anomalyclip: AnomalyCLIP
    window_sizes: tuple[int, ...] = (2, 3)

    name: ClassVar[str] = "hybrid"
    references: ClassVar = "never"
    options: ClassVar[tuple[str, ...]] = ("window_sizes", "params")

    def __post_init__(self) -> None:
        self.winclip  # noqa: B018  a window that does not fit is refused now

    @classmethod
    def for_backbone(cls, clip: CLIP) -> Self:
        """Both parents in their published settings, in proportion to the backbone."""
        return cls(clip, AnomalyCLIP.for_backbone(clip))

    @classmethod
    def from_options(cls, clip: CLIP, options: MethodOptions) -> tuple[Self, Params]:
        """With AnomalyCLIP's parameters and the setting that they were learned with."""
        options.check(cls.name, cls.options)
        learned, params = AnomalyCLIP.from_options(clip, MethodOptions(params=options.params))
        with options.named_in_errors(["window_sizes"]):
            return cls(clip, learned, **options.chosen(["window_sizes"])), params

    @classmethod
    def with_setting(cls, clip: CLIP, setting: Mapping[str, Any]) -> Self:
        """The detector that has this `setting`; InputError as its parents raise."""
        learned = {name: x for name, x in setting.items() if name != "window_sizes"}
        return cls(clip, AnomalyCLIP.with_setting(clip, learned), tuple(setting["window_sizes"]))

    @functools.cached_property
    def winclip(self) -> WinCLIP:
        """WinCLIP at AnomalyCLIP's image size."""
        return WinCLIP(self.clip, self.window_sizes, self.size)

    @property
    def setting(self) -> dict[str, Any]:
        """The hyper-parameters of both by name."""
        return self.anomalyclip.setting | {"window_sizes": list(self.window_sizes)}

    @property
    def size(self) -> int:
        """S, the side of the images it takes, in pixels."""
        return self.anomalyclip.size

    def init(self, key: jax.Array) -> Params:
        """Fresh prompts of AnomalyCLIP."""
        return self.anomalyclip.init(key)

    def prepare(
        self, object_name: str = "object", references: Array | None = None, params: Params | None = None
    ) -> State:
        """AnomalyCLIP's state, the same for every object.

        Raises:
          InputError: references, no parameters, or parameters of other shapes.
        """
        self.check_references(references is not None)
        return self.anomalyclip.prepare(object_name, None, params)

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), 0 to 1."""
        learned = self.anomalyclip.score_with(variables, state, images)
        windows = self.winclip.extract(variables, images, patches=False)
        window_map = self.winclip.zero_shot_map(windows, state["text"], jnp.asarray(learned.image))
        layers = len(self.anomalyclip.feature_layers)
        return Scores(
            (learned.image + window_map.max(axis=(1, 2))) / 2,
            (learned.map / layers + upsample(window_map, (self.size, self.size))) / 2,
        )
