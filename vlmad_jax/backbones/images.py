"""The check of input images."""

from __future__ import annotations

import jax
import numpy as np

from vlmad_jax.errors import InputError

Array = jax.Array | np.ndarray


def check_images(images: Array, what: str, smallest: int, size: int | None = None) -> None:
    """Check that images are uint8 (B, S, S, 3).

    Args:
      images: The images.
      what: Their name in the message.
      smallest: The smallest S, if `size` is None.
      size: S.

    Raises:
      InputError: The images have another shape or type.
    """
    shape, dtype = np.shape(images), getattr(images, "dtype", type(images).__name__)
    fits = dtype == np.uint8 and len(shape) == 4 and shape[0] > 0 and shape[3] == 3
    if not fits or shape[1] != shape[2] or (shape[1] < smallest if size is None else shape[1] != size):
        side = f"{size} x {size}" if size else f"at least {smallest} x {smallest}"
        letter = size or "S"
        raise InputError(
            f"{what} are {dtype} {list(shape)}; "
            f"give uint8 images of {side} pixels, [B, {letter}, {letter}, 3]"
        )
