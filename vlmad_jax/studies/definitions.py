"""What the comparison leaves open, decided: types of defects, groups of categories, levels of contrast."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from scipy import ndimage

from vlmad_jax.report.published import comparison

UNTYPED, UNGROUPED = "untyped", "other"
LEVELS = ("low", "medium", "high")


def defect_types() -> tuple[str, ...]:
    """The types, as the comparison's table lists them, hardest first."""
    return tuple(_read()["types"])


def defect_type(category: str, defect: str) -> str:
    """The type of a defect, MVTec AD's by category and folder, any other by its name; or `UNTYPED`.

    >>> defect_type("transistor", "cut_lead"), defect_type("hex_nut", "rust"), defect_type("nut", "odd")
    ('missing component', 'appearance change', 'untyped')
    """
    known = _read()["mvtec_ad"].get(category, {}).get(defect)
    return known[0] if known else _read()["by_name"].get(defect, UNTYPED)


def is_compared(dataset: str, category: str, defect: str) -> bool:
    """Whether a defect is one of MVTec AD's 52 in the comparison's tables; all of other data sets are."""
    if dataset != "mvtec_ad":
        return True
    known = _read()["mvtec_ad"].get(category, {}).get(defect)
    return bool(known and known[1])


def groups(dataset: str, categories: Sequence[str]) -> dict[str, list[str]]:
    """The categories by group, in the comparison's order; those without one last, as `UNGROUPED`."""
    named = comparison()["object_groups"] if dataset == "mvtec_ad" else _read()["groups"].get(dataset, {})
    found = {group: [name for name in members if name in categories] for group, members in named.items()}
    placed = {name for members in found.values() for name in members}
    found[UNGROUPED] = [name for name in categories if name not in placed]
    return {group: members for group, members in found.items() if members}


def levels_of(
    contrasts: Sequence[float], bounds: tuple[float, float] | None
) -> tuple[list[str], list[float]]:
    """Low, medium or high for each contrast, and the two bounds: those given, or the terciles.

    >>> levels_of([0.1, 0.5, 0.9], None)[0]
    ['low', 'medium', 'high']
    """
    used = [float(x) for x in (np.quantile(contrasts, [1 / 3, 2 / 3]) if bounds is None else bounds)]
    return [LEVELS[int(value > used[0]) + int(value > used[1])] for value in contrasts], used


@cache
def _read() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("definitions.json").read_text("utf-8"))


# Side at which contrast is measured, and the width of the ring around a defect, in pixels of that side.
SIDE = 256
RING = 8
# No surroundings count as more even than this difference, which people just notice.
SMALLEST_SPREAD = 1.0

# IEC 61966-2-1: linear sRGB to CIE XYZ, relative to the white point D65.
_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """CIELAB of sRGB pixels uint8 (..., 3): L 0..100, a, b; equals scikit-image's `rgb2lab`."""
    values = pixels / 255
    linear = np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def contrast(image: np.ndarray, mask: np.ndarray) -> float | None:
    """The contrast of what a mask marks: 0 is none, 1 is as much as its surroundings vary by themselves.

    The distance in CIELAB between the mean colour of the marked pixels and that of a ring of `RING` pixels
    around them, divided by the root mean square distance of the ring's pixels from their own mean.

    Args:
      image: uint8 (S, S, 3).
      mask: (S, S), nonzero on the defect, of any number of regions.

    Returns:
      None where nothing is marked, or everything.
    """
    inside = mask != 0
    ring = ndimage.binary_dilation(inside, np.ones((3, 3), bool), iterations=RING) & ~inside
    if not inside.any() or not ring.any():
        return None
    colours = to_lab(image)
    around = colours[ring]
    distance = np.linalg.norm(colours[inside].mean(axis=0) - around.mean(axis=0))
    spread = np.sqrt(np.square(around - around.mean(axis=0)).sum(axis=-1).mean())
    return float(distance / max(spread, SMALLEST_SPREAD))
