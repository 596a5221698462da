"""Sub-pixel convolutions (Shi et al. 2016). Strided and transposed ones take four times as long on a CPU."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


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


class HalvingConv(nn.Module):
    """A convolution of 4 x 4 pixels with stride 2 and a border of 1 pixel, without bias."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve (B, h, w, c), h and w even: (B, h / 2, w / 2, width)."""
        squares = to_channels(jnp.pad(x, BORDER), 2)  # (B, h / 2 + 1, w / 2 + 1, 4 c)
        return nn.Conv(self.width, (2, 2), padding="VALID", use_bias=False)(squares)


class DoublingConv(nn.Module):
    """The transposed convolution of 4 x 4 pixels with stride 2 and a border of 1 pixel, without bias."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve (B, h, w, c): (B, 2 h, 2 w, width)."""
        squares = nn.Conv(4 * self.width, (2, 2), padding=1, use_bias=False)(x)
        return to_pixels(squares, 2)[:, 1:-1, 1:-1]
