"""Rotated copies of images, to the bit as OpenCV 4 and as Pillow make them."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

# OpenCV keeps coordinates as integers of 1/1024 pixel and interpolates between 32 places in a pixel.
COORDINATE, PLACES = 1024, 32


def rotate_mirrored(images: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate images counter-clockwise, with the part outside mirrored at the border.

    It equals the bilinear `warpAffine` of OpenCV 4 with the matrix of `getRotationMatrix2D` and its default
    border, which does not repeat the edge. The centre is (width / 2, height / 2) in pixel indices, half a
    pixel off the image's own, so that a quarter turn also shifts the image by a pixel.

    Args:
      images: uint8 (K, height, width, 3), of two pixels or more a side.
      degrees: The angle.

    Returns:
      uint8 (K, height, width, 3).
    """
    height, width = images.shape[1:3]
    x, y = _sources(height, width, math.radians(degrees))
    fractions = [(PLACES - n % PLACES, n % PLACES) for n in (y, x)]
    sums = np.full(images.shape, PLACES**2 // 2, np.int32)  # half of the divisor, to round
    for down, across in np.ndindex(2, 2):
        weights = (fractions[0][down] * fractions[1][across])[..., None]
        rows, columns = _mirrored(y // PLACES + down, height), _mirrored(x // PLACES + across, width)
        sums += weights * images[:, rows, columns]
    return (sums // PLACES**2).astype(np.uint8)


def _sources(height: int, width: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows that pixels come from, int32 (height, width), in 1/32 pixel."""
    cosine, sine, x0, y0 = math.cos(angle), math.sin(angle), width / 2, height / 2
    columns, rows = np.arange(width), np.arange(height)[:, None]

    def place(by_column: float, by_row: float, constant: float) -> np.ndarray:
        along = np.rint(by_column * columns * COORDINATE)
        down = np.rint((by_row * rows + constant) * COORDINATE)
        step = COORDINATE // PLACES
        return (along + down + step // 2).astype(np.int32) // step

    return (
        place(cosine, -sine, x0 - cosine * x0 + sine * y0),
        place(sine, cosine, y0 - sine * x0 - cosine * y0),
    )


def _mirrored(indices: np.ndarray, count: int) -> np.ndarray:
    """Return the indices inside of 0 to count - 1 that mirroring at the first and the last one gives."""
    indices = np.abs(indices) % (2 * count - 2)
    return np.minimum(indices, 2 * count - 2 - indices)


def rotate_on_black(images: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate images counter-clockwise about their centre by nearest neighbours, with black corners.

    It is Pillow's `Image.rotate`, which torchvision calls.

    Args:
      images: uint8 (K, height, width, 3).
      degrees: The angle.

    Returns:
      uint8 (K, height, width, 3).
    """
    return np.stack([np.asarray(Image.fromarray(image).rotate(degrees)) for image in images])
