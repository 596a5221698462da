"""A detector whose scores are known beforehand: bright pixels are defects."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection import FittedDetector
from vlmad_jax.inspection.detector import Decision
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import Detector, Scores

SIDE = 16


class NoClip:
    """Stands where a backbone stands, and compiles as one does."""

    resample = "bicubic"
    patch_size = 8

    def compile(self, tower: str, function: Any, place: Any) -> Any:
        return jax.jit(functools.partial(function, {}))


@dataclass(frozen=True, eq=False)
class Brightness(Detector):
    """The map is the brightness, 0 to 1, less that of the reference images; the score is its maximum."""

    backbone: Any
    name: ClassVar[str] = "brightness"
    references: ClassVar = "if given"

    @classmethod
    def for_backbone(cls, backbone: Any) -> Brightness:
        return cls(backbone)

    @property
    def size(self) -> tuple[int, int]:
        return SIDE, SIDE

    def prepare(self, object_name: str, references: Any = None, params: Any = None) -> dict[str, Any]:
        good = 0.0 if references is None else np.asarray(references).mean() / 255
        return {"good": jnp.float32(good)}

    def score_with(self, variables: dict[str, Any], state: Any, images: jax.Array) -> Scores:
        maps = images.astype(jnp.float32).mean(axis=-1) / 255 - state["good"]
        return Scores(maps.max(axis=(1, 2)), maps)


def scorer(tiling: Tiling | None = None, batch_size: int = 4) -> Scorer:
    return Scorer(TiledDetector(Brightness(NoClip()), tiling or Tiling.of(1, 1, SIDE)), batch_size)


def detector(tiling: Tiling | None = None, batch_size: int = 4, threshold: float = 0.5) -> FittedDetector:
    """Bad is what is brighter than the threshold anywhere."""
    decision = Decision(threshold, 0.1, threshold, 0.0)
    return FittedDetector(
        scorer(tiling, batch_size), {"good": jnp.float32(0)}, decision, {"object": "lamp"}, "0" * 64
    )


def grey(level: int, path: Path | None = None, size: tuple[int, int] = (20, 10)) -> Image.Image:
    """An image of one grey, saved if a path is given."""
    image = Image.new("RGB", size, (level,) * 3)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return image
