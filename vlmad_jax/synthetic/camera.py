"""The camera: the effects of optics, sensor and file format on a lit scene."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from vlmad_jax.synthetic.grid import Array, whole


@dataclass(frozen=True)
class Camera:
    """The parameters of a camera for one image.

    Attributes:
        gain: The factor of each channel, for exposure and white balance.
        slope: The change of brightness over half an image, from left to right and from top to bottom.
        vignette: The loss of brightness in the corners.
        gamma: The exponent of the tone curve.
        blur: The standard deviation of the optical blur, in units of length (an image is 2 units wide).
        noise: The standard deviation of the sensor noise, as a share of full range.
        quality: The JPEG quality, or None for no compression.
        grey: Whether the camera records grey images.
    """

    gain: tuple[float, float, float]
    slope: tuple[float, float]
    vignette: float
    gamma: float
    blur: float
    noise: float
    quality: int | None
    grey: bool


def choose_camera(fixed: np.random.Generator, varied: np.random.Generator) -> Camera:
    """Draw a camera: what all images of a product share from `fixed`, and small changes from `varied`."""
    grey = bool(fixed.uniform() < 0.2)
    quality = int(fixed.integers(60, 95)) if fixed.uniform() < 0.4 else None
    tint = fixed.uniform(-0.05, 0.05, 3)
    exposure = fixed.uniform(0.85, 1.1) * (1 + varied.uniform(-0.08, 0.08))
    direction, amount = fixed.uniform(0, 2 * math.pi), fixed.uniform(0, 0.15) + varied.uniform(-0.02, 0.02)
    red, green, blue = exposure * (1 + tint + varied.uniform(-0.015, 0.015, 3))
    return Camera(
        gain=(red, green, blue),
        slope=(amount * math.cos(direction), amount * math.sin(direction)),
        vignette=fixed.uniform(0, 0.15),
        gamma=fixed.uniform(0.85, 1.15),
        blur=fixed.uniform(0.002, 0.009) * varied.uniform(0.85, 1.15),
        noise=fixed.uniform(0.004, 0.018),
        quality=quality,
        grey=grey,
    )


def expose(light: Array, camera: Camera) -> Array:
    """Apply the deterministic effects of the camera: (3, S, S) of any range -> (3, S, S) in 0..1."""
    size = light.shape[-1]
    grid = whole(size)
    field = 1 + np.float32(camera.slope[0]) * grid.x + np.float32(camera.slope[1]) * grid.y
    field -= np.float32(camera.vignette / 2) * (grid.x**2 + grid.y**2)
    image = light * field * np.asarray(camera.gain, np.float32)[:, None, None]
    if camera.grey:
        weights = np.asarray([0.3, 0.59, 0.11], np.float32)[:, None, None]
        image = np.broadcast_to((image * weights).sum(0, keepdims=True), image.shape)
    image = np.clip(image, 0, 1) ** np.float32(camera.gamma)
    sigma = camera.blur * size / 2
    return gaussian_filter(image, (0, sigma, sigma), truncate=2.5) if sigma > 0.25 else image


def record(image: Array, camera: Camera, rng: np.random.Generator) -> Array:
    """Apply sensor noise, rounding and JPEG compression: (3, S, S) in 0..1 -> uint8 (S, S, 3)."""
    noise = rng.standard_normal(image.shape[1:] if camera.grey else image.shape, dtype=np.float32)
    values = np.clip((image + np.float32(camera.noise) * noise) * 255 + np.float32(0.5), 0, 255)
    pixels = np.ascontiguousarray(values.astype(np.uint8).transpose(1, 2, 0))
    if camera.quality is None:
        return pixels
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=camera.quality)
    return np.array(Image.open(file).convert("RGB"))
