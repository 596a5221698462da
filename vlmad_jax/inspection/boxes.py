"""Where the defects are: boxes around the regions of a map above a threshold."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_EIGHT_NEIGHBOURS = np.ones((3, 3))


class Box(NamedTuple):
    """A region, in pixels of the image: its left upper corner, its size, and the map's maximum in it."""

    x: int
    y: int
    width: int
    height: int
    peak: float


def boxes_of(anomaly_map: np.ndarray, threshold: float, size: tuple[int, int]) -> tuple[Box, ...]:
    """The regions above a threshold, from the highest peak down; pixels that touch, corners too, are one.

    Args:
      anomaly_map: (rows, columns) of any size, which covers the image.
      threshold: pixels above it count.
      size: (height, width) of the image, in whose pixels boxes are, rounded outwards.

    >>> boxes_of(np.array([[0, 0, 0, 0], [0, 0, 2, 3]]), 1, (20, 80))
    (Box(x=40, y=10, width=40, height=10, peak=3.0),)
    """
    from scipy import ndimage  # takes a quarter of a second to import

    regions, count = ndimage.label(anomaly_map > threshold, _EIGHT_NEIGHBOURS)
    peaks = ndimage.maximum(anomaly_map, regions, np.arange(1, count + 1)) if count else ()
    scales = [of / side for of, side in zip(size, anomaly_map.shape, strict=True)]
    found = []
    for slices, peak in zip(ndimage.find_objects(regions), peaks, strict=True):
        (top, bottom), (left, right) = (
            (math.floor(part.start * scale), math.ceil(part.stop * scale))
            for part, scale in zip(slices, scales, strict=True)
        )
        found.append(Box(left, top, right - left, bottom - top, float(peak)))
    return tuple(sorted(found, key=lambda box: -box.peak))
