"""WinCLIP on the golden backbone: each compiled once for all tests."""

import functools

from tests.golden import case, difference, golden_clip, shallow_clip
from vlmad_jax import Scores, WinCLIP

IMAGES = case("winclip").arrays["images_uint8"]  # (3, 64, 64, 3)
REFERENCES = case("winclip").arrays["reference_uint8"]  # (2, 64, 64, 3)


@functools.cache
def winclip(window_sizes: tuple[int, ...] = (2, 3), dtype: str = "float32") -> WinCLIP:
    return WinCLIP(golden_clip("winclip", dtype), window_sizes)


@functools.cache
def shallow_winclip(window_sizes: tuple[int, ...] = (3,)) -> WinCLIP:
    return WinCLIP(shallow_clip("winclip"), window_sizes)


def apart(a: Scores, b: Scores) -> float:
    """The largest difference of two sets of scores, images and maps."""
    return max(difference(a.image, b.image), difference(a.map, b.map))
