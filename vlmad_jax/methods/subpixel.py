"""Sub-pixel convolutions (Shi et al. 2016). Strided and transposed ones take four times as long on a CPU."""

from __future__ import annotations

import jax


def to_channels(x: jax.Array, stride: int) -> jax.Array:
    """Move squares of `stride` pixels a side to channels: (B, h, w, c) -> (B, h / s, w / s, s s c)."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // stride, stride, width // stride, stride, channels)
    return squares.swapaxes(2, 3).reshape(batch, height // stride, width // stride, -1)


def to_pixels(x: jax.Array, stride: int) -> jax.Array:
    """Invert `to_channels`: (B, h, w, s s c) -> (B, s h, s w, c)."""
    batch, height, width, _ = x.shape
    squares = x.reshape(batch, height, width, stride, stride, -1)
    return squares.swapaxes(2, 3).reshape(batch, height * stride, width * stride, -1)
