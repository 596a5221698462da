"""The visual contrast of a defect: how far its colour is from its surroundings, for how much those vary."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

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
