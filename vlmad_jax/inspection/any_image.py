"""Images as people have them in hand: paths, arrays, PIL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vlmad_jax.data.images import open_image, to_rgb
from vlmad_jax.errors import InputError

AnyImage = str | Path | np.ndarray | Image.Image


def as_image(image: AnyImage) -> Image.Image:
    """An image as RGB with 8 bits.

    Args:
      image: a path, which is read as `open_image` does; a PIL image, likewise; an array uint8 (height,
        width), grey, or (height, width, 3).

    Raises:
      InputError: anything else, or an image that does not decode.
    """
    if isinstance(image, (str, Path)):
        return open_image(image)
    if isinstance(image, Image.Image):
        return to_rgb(image)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise InputError(
            f"the image is {pixels.dtype} {list(pixels.shape)}; give uint8 [height, width, 3] or "
            "[height, width], a path, or a PIL image; of several, a list"
        )
    if not pixels.size:
        raise InputError(f"the image is empty, {list(pixels.shape)}; give one with pixels")
    grey = pixels.shape[2:] == (1,)
    return Image.fromarray(pixels[..., 0] if grey else pixels).convert("RGB")
