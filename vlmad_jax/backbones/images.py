"""The check of input images."""

from __future__ import annotations

import jax
import numpy as np

from vlmad_jax.errors import InputError

Array = jax.Array | np.ndarray


def check_images(images: Array, what: str, smallest: int, size: tuple[int, int] | None = None) -> None:
    """Check that images are uint8 (B, height, width, 3).

    Args:
      images: The images.
      what: Their name in the message.
      smallest: The smallest height and width, if `size` is None.
      size: The height and width, or None for any.

    Raises:
      InputError: The images have another shape or type.
    """
    shape, dtype = np.shape(images), getattr(images, "dtype", type(images).__name__)
    fits = dtype == np.uint8 and len(shape) == 4 and shape[0] > 0 and shape[3] == 3
    if not fits or (min(shape[1:3]) < smallest if size is None else shape[1:3] != tuple(size)):
        sides = f"at least {smallest} x {smallest}" if size is None else f"{size[0]} x {size[1]}"
        letters = "H, W" if size is None else f"{size[0]}, {size[1]}"
        raise InputError(
            f"{what} are {dtype} {list(shape)}; give uint8 images of {sides} pixels, [B, {letters}, 3]"
        )
