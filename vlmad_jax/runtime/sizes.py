"""Sizes of images: a side in pixels, or (height, width)."""

from __future__ import annotations

from collections.abc import Sequence

ImageSize = int | Sequence[int]


def height_and_width(size: ImageSize) -> tuple[int, int]:
    """Return (height, width) of a size.

    >>> height_and_width(64), height_and_width([48, 80])
    ((64, 64), (48, 80))
    """
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def plain(size: ImageSize) -> int | list[int]:
    """Return a size as files and messages hold it: the side of a square, else [height, width].

    >>> plain((64, 64)), plain((48, 80))
    (64, [48, 80])
    """
    height, width = height_and_width(size)
    return height if height == width else [height, width]
