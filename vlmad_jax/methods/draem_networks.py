"""The networks of DRAEM, of the shapes of its authors' code."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vlmad_jax.methods.reconstruction import batch_norm
from vlmad_jax.scoring.maps import upsample


class Output(NamedTuple):
    """The output of both networks.

    Attributes:
      images: (B, h, w, 3), the reconstruction, about 0 to 1.
      logits: (B, h, w, 2), of normal and of anomalous pixels.
    """

    images: jax.Array
    logits: jax.Array


def max_pool(x: jax.Array) -> jax.Array:
    """Return the maxima of squares of 2 x 2 pixels: (B, h, w, c) -> (B, h / 2, w / 2, c).

    The gradient is ten times as fast as that of `flax.linen.max_pool` on a CPU.
    """
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    # `max` over axes divides its gradient by a count, which is 0 where XLA rounds the pixels in two ways.
    rows = jnp.maximum(squares[:, :, 0], squares[:, :, 1])  # (B, h / 2, w / 2, 2, c)
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


class UNet(nn.Module):
    """An encoder of pairs of convolutions with poolings between them, and a decoder of triples.

    Attributes:
      width: The number of channels that `encoder` and `decoder` multiply.
      encoder: The channels of each pair.
      decoder: The channels of each triple, whose first convolution follows the upsampling.
      skips: Whether the encoder's output of the same size joins the second convolution of a triple.
      channels: The number of output channels.
    """

    width: int
    encoder: tuple[int, ...]
    decoder: tuple[tuple[int, int, int], ...]
    skips: bool
    channels: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return (B, h, w, channels) for images (B, h, w, c), h and w multiples of the poolings."""

        def convolve(x: jax.Array, multiple: int) -> jax.Array:
            return nn.relu(batch_norm(train)(nn.Conv(self.width * multiple, (3, 3))(x)))

        encoded = []
        for number, multiple in enumerate(self.encoder):
            x = max_pool(x) if number else x
            x = convolve(convolve(x, multiple), multiple)
            encoded.append(x)
        for skip, (first, second, third) in zip(encoded[-2::-1], self.decoder, strict=True):
            height, width = x.shape[1:3]
            x = convolve(upsample(x, (2 * height, 2 * width), align_corners=True), first)
            x = jnp.concatenate([x, skip], axis=-1) if self.skips else x
            x = convolve(convolve(x, second), third)
        return nn.Conv(self.channels, (3, 3))(x)


class Networks(nn.Module):
    """Reconstruct images, and find what the reconstruction removed.

    Attributes:
      width: The channels of the first convolution of the reconstructive network; the published number is 128.
    """

    width: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> Output:
        """Return the output for images (B, h, w, 3), 0 to 1; with `train`, batch norms use the batch."""
        reconstruct = UNet(
            width=self.width,
            encoder=(1, 2, 4, 8, 8),
            decoder=((8, 8, 4), (4, 4, 2), (2, 2, 1), (1, 1, 1)),
            skips=False,
            channels=3,
            name="reconstructive",
        )
        discriminate = UNet(
            width=self.width // 2,
            encoder=(1, 2, 4, 8, 8, 8),
            decoder=((8, 8, 8), (4, 4, 4), (2, 2, 2), (1, 1, 1), (1, 1, 1)),
            skips=True,
            channels=2,
            name="discriminative",
        )
        drawn = reconstruct(images, train)
        return Output(drawn, discriminate(jnp.concatenate([drawn, images], axis=-1), train))
