"""Pictures as people have them in hand: paths, arrays, PIL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vlmad_jax.data.images import read_picture, to_rgb
from vlmad_jax.errors import InputError

Picture = str | Path | np.ndarray | Image.Image


def as_picture(picture: Picture) -> Image.Image:
    """A picture as RGB with 8 bits.

    Args:
      picture: a path, which is read as `read_picture` does; a PIL picture, likewise; an array uint8 (height,
        width), grey, or (height, width, 3).

    Raises:
      InputError: anything else, or a picture that does not decode.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return to_rgb(picture)
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise InputError(
            f"the picture is {pixels.dtype} {list(pixels.shape)}; give uint8 [height, width, 3] or "
            "[height, width], a path, or a PIL picture; of several, a list"
        )
    if not pixels.size:
        raise InputError(f"the picture is empty, {list(pixels.shape)}; give one with pixels")
    grey = pixels.shape[2:] == (1,)
    return Image.fromarray(pixels[..., 0] if grey else pixels).convert("RGB")
