"""What differs from one image of a good part to the next on a line: a little of everything, all at once.

The ranges are of a fixed camera and a part that is fed by a machine. They are for finding out how far scores
of good images scatter, not for learning.
"""

from __future__ import annotations

import numpy as np

SHIFT = 0.02  # of the side, either way
ROTATION = 2.0  # degrees, either way
EXPOSURE = 0.10  # of the light, either way
GAMMA = 0.10  # of the exponent, either way
BLUR = 0.7  # pixels, standard deviation at most
NOISE = 3.0  # grey levels of 255, standard deviation at most


def augmented(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image uint8 (rows, columns, 3), shifted, turned, lit, blurred and with noise, each at random.

    What comes into view at the border repeats the border's pixels.
    """
    from scipy import ndimage  # takes a quarter of a second to import

    pixels = _moved(image.astype(np.float32), rng)
    light = 1 + rng.uniform(-EXPOSURE, EXPOSURE)
    exponent = 1 + rng.uniform(-GAMMA, GAMMA)
    pixels = 255 * np.clip(light * pixels / 255, 0, 1) ** exponent
    blur = rng.uniform(0, BLUR)
    pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0), mode="nearest")
    pixels += rng.normal(0, rng.uniform(0, NOISE), pixels.shape)
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


def _moved(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    sides = np.array(pixels.shape[:2])
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (sides - 1) / 2
    offset = centre - turn @ centre + rng.uniform(-SHIFT, SHIFT, 2) * sides
    channels = [
        ndimage.affine_transform(pixels[..., channel], turn, offset, order=1, mode="nearest")
        for channel in range(pixels.shape[-1])
    ]
    return np.stack(channels, axis=-1)
