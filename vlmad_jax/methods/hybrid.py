"""AnomalyCLIP's learned prompts in WinCLIP's windows, as a comparison of the two proposes (section 5.3).

Each window of patches passes through the vision transformer by itself, as in WinCLIP, and is compared with
AnomalyCLIP's two learned prompts. The harmonic mean combines windows and scales, one of which is the whole
image. The map is the mean of this map and of AnomalyCLIP's own divided by its layers. The image score is the
mean of AnomalyCLIP's and of the largest score in the window map.

The proposal does not say how to combine the parts. Means are how WinCLIP combines two maps.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.methods.anomalyclip import AnomalyCLIP, State
from vlmad_jax.methods.detector import Params, Scores, TextDetector
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.methods.winclip import WinCLIP
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.maps import upsample


@dataclass(frozen=True, eq=False)
class Hybrid(TextDetector):
    """AnomalyCLIP and WinCLIP combined.

    Attributes:
      clip: The backbone.
      anomalyclip: The AnomalyCLIP whose prompts and map are used, in the setting of its training.
      window_sizes: The sides of the windows in patches, each at most the grid's.

    Raises:
      InputError: A window does not fit the grid.
    """

    clip: CLIP
    anomalyclip: AnomalyCLIP
    window_sizes: tuple[int, ...] = (2, 3)

    name: ClassVar[str] = "hybrid"
    references: ClassVar = "never"
    options: ClassVar = ("window_sizes", *AnomalyCLIP.options)
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        self.winclip  # noqa: B018  raises now if a window does not fit

    @classmethod
    def for_backbone(cls, clip: CLIP) -> Self:
        """Return both parents in their published settings, scaled to the backbone."""
        return cls(clip, AnomalyCLIP.for_backbone(clip))

    @classmethod
    def from_options(cls, clip: CLIP, options: MethodOptions) -> tuple[Self, Params]:
        """Return the hybrid with AnomalyCLIP's parameters and the setting of their training.

        Raises:
          InputError: The method does not have an option, or its value is invalid.
        """
        cls.check_backbone(clip)
        options.check(cls.name, cls.options)
        learned, params = AnomalyCLIP.from_options(clip, options.restricted(AnomalyCLIP.options))
        with options.named_in_errors(["window_sizes"]):
            return cls(clip, learned, **options.chosen(["window_sizes"])), params

    @classmethod
    def with_setting(cls, clip: CLIP, setting: Mapping[str, Any]) -> Self:
        """Return the detector whose `setting` this is.

        Raises:
          InputError: The setting is one of another method or version, or does not fit the backbone.
        """
        learned = {name: x for name, x in setting.items() if name != "window_sizes"}
        return cls(clip, AnomalyCLIP.with_setting(clip, learned), tuple(setting["window_sizes"]))

    @functools.cached_property
    def winclip(self) -> WinCLIP:
        """WinCLIP at AnomalyCLIP's image size and temperature."""
        return WinCLIP(self.clip, self.window_sizes, self.size, self.anomalyclip.temperature)

    @property
    def setting(self) -> dict[str, Any]:
        """The hyper-parameters of both parents by name."""
        return self.anomalyclip.setting | {"window_sizes": list(self.window_sizes)}

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""
        return self.anomalyclip.size

    def at_size(self, size: ImageSize) -> Self:
        """Return the same detector for images of another size."""
        return dataclasses.replace(self, anomalyclip=self.anomalyclip.at_size(size))

    def init(self, key: jax.Array) -> Params:
        """Return initial prompts of AnomalyCLIP."""
        return self.anomalyclip.init(key)

    def prepare(
        self, object_name: str = "object", references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return AnomalyCLIP's state, which is the same for every category."""
        self.check_references(references is not None)
        return self.anomalyclip.prepare(object_name, None, params)

    def score_with(self, variables: Variables, state: State, images: jax.Array) -> Scores:
        """Return scores of images (B,) and pixels (B, height, width), 0 to 1."""
        learned = self.anomalyclip.score_with(variables, state, images)
        windows = self.winclip.extract(variables, images, patches=False)
        window_map = self.winclip.zero_shot_map(windows, state.text, jnp.asarray(learned.image))
        layers = len(self.anomalyclip.feature_layers)
        return Scores(
            (learned.image + window_map.max(axis=(1, 2))) / 2,
            (learned.map / layers + upsample(window_map, self.size)) / 2,
        )
