"""Definitions that the comparison does not publish: defect types, groups, and visual contrast."""

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
CONTRAST_LEVELS = ("low", "medium", "high")

# The side at which contrast is measured, and the width of the ring around a defect at that side, in pixels.
SIDE = 256
RING = 8
# The smallest spread of the colours around a defect, about the difference that people can just notice.
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


def defect_types() -> tuple[str, ...]:
    """Return the types in the order of the comparison's table, hardest first."""
    return tuple(_read()["types"])


def defect_type(category: str, defect: str) -> str:
    """Return the type of a defect, or `UNTYPED`.

    Defects of MVTec AD are looked up by category and folder, all others by name.

    >>> defect_type("transistor", "cut_lead"), defect_type("hex_nut", "rust"), defect_type("nut", "odd")
    ('missing component', 'appearance change', 'untyped')
    """
    known = _read()["mvtec_ad"].get(category, {}).get(defect)
    return known[0] if known else _read()["by_name"].get(defect, UNTYPED)


def is_compared(dataset: str, category: str, defect: str) -> bool:
    """Return whether a defect counts as one of MVTec AD's 52 in the comparison; other data sets' all do."""
    if dataset != "mvtec_ad":
        return True
    known = _read()["mvtec_ad"].get(category, {}).get(defect)
    return bool(known and known[1])


def groups(dataset: str, categories: Sequence[str]) -> dict[str, list[str]]:
    """Return the categories by group in the comparison's order; those without a group are `UNGROUPED`."""
    by_group = comparison()["object_groups"] if dataset == "mvtec_ad" else _read()["groups"].get(dataset, {})
    found = {group: [name for name in members if name in categories] for group, members in by_group.items()}
    grouped = {name for members in found.values() for name in members}
    found[UNGROUPED] = [name for name in categories if name not in grouped]
    return {group: members for group, members in found.items() if members}


def contrast_levels(
    contrasts: Sequence[float], bounds: tuple[float, float] | None
) -> tuple[list[str], list[float]]:
    """Return the level of each contrast, and the upper bounds of low and medium, by default terciles.

    >>> contrast_levels([0.1, 0.5, 0.9], None)[0]
    ['low', 'medium', 'high']
    """
    used = [float(x) for x in (np.quantile(contrasts, [1 / 3, 2 / 3]) if bounds is None else bounds)]
    return [CONTRAST_LEVELS[int(value > used[0]) + int(value > used[1])] for value in contrasts], used


@cache
def _read() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("definitions.json").read_text("utf-8"))


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """Convert sRGB pixels uint8 (..., 3) to CIELAB: L 0..100, a, b. It equals scikit-image's `rgb2lab`."""
    values = pixels / 255
    linear = np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def contrast(image: np.ndarray, mask: np.ndarray) -> float | None:
    """Return the contrast of a defect: its distance in colour from its surroundings, divided by their spread.

    The distance in CIELAB is between the mean colour of the masked pixels and that of a ring of `RING` pixels
    around them. The spread is the root mean square distance of the ring's pixels from their mean.

    Args:
      image: uint8 (S, S, 3).
      mask: (S, S), nonzero on the defect, which can have several regions.

    Returns:
      0 or more; None if the mask marks nothing or everything.
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
