"""EfficientNet-Lite as a Flax module: inverted bottlenecks with relu6 and without squeeze and excitation.

Tan and Le, ICML 2019, "EfficientNet"; Lite is the authors' variant for phones. All convolutions pad as
TensorFlow's "SAME", so that one of stride 2 halves each side and rounds it up. Batch norms are folded into
the convolutions, see `efficientnet_lite`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vlmad_jax.backbones.transformer import Linear, layer_name

# The scale of the pixels that the network was trained with.
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0
# The stride of the grid that the outputs of all layers are resized to, and that of the whole network.
GRID_STRIDE, LAST_STRIDE = 8, 32


class Stage(NamedTuple):
    """A sequence of bottlenecks of equal shape, of which the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


# The stages of Lite 0, which the others scale.
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """The shape of a network.

    Attributes:
      image_size: The side in pixels of the images that it was trained with.
      stages: Its stages.
      stem_width: The number of channels of the first convolution.
      head_width: E, that of the last one.
      classes: The number of classes of ImageNet.
    """

    image_size: int
    stages: tuple[Stage, ...]
    stem_width: int = 32
    head_width: int = 1280
    classes: int = 1000

    @property
    def blocks(self) -> list[Stage]:
        """The bottlenecks, each as a stage of one."""
        return [
            stage._replace(repeats=1, stride=stage.stride if n == 0 else 1)
            for stage in self.stages
            for n in range(stage.repeats)
        ]

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of the output of each bottleneck in pixels; the first convolution has stride 2."""
        return tuple(2 * math.prod(b.stride for b in self.blocks[: n + 1]) for n in range(len(self.blocks)))


def scaled(image_size: int, width: float, depth: float) -> EfficientNetLiteConfig:
    """Return a network whose stages are wider and deeper; in Lite, stem, head and outer depths stay."""
    last = len(STAGES) - 1
    stages = tuple(
        stage._replace(
            repeats=stage.repeats if n in (0, last) else math.ceil(depth * stage.repeats),
            width=_multiple_of_8(width * stage.width),
        )
        for n, stage in enumerate(STAGES)
    )
    return EfficientNetLiteConfig(image_size, stages)


def _multiple_of_8(channels: float) -> int:
    """Round to a multiple of 8, up if rounding down would lose more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


# What their files are called, and the names of the networks, with which these begin.
FILES = "efficientnet-lite*.pth"
VARIANTS = {
    "efficientnet-lite0": scaled(224, width=1.0, depth=1.0),
    "efficientnet-lite2": scaled(260, width=1.1, depth=1.2),
}


def windows(x: jax.Array, side: int, stride: int) -> list[list[jax.Array]]:
    """Return the pixels under each place of a convolution's kernel, padded as TensorFlow's "SAME".

    The padding makes the output ceil(height / stride) x ceil(width / stride); where it is odd, one more row
    or column of zeros follows than precedes.

    Args:
      x: (B, height, width, D).
      side: k, the side of the kernel.
      stride: The stride.

    Returns:
      k lists of k arrays (B, rows, columns, D).
    """
    sizes = [-(-n // stride) for n in x.shape[1:3]]
    ends = [(n - 1) * stride for n in sizes]
    missing = [max(end + side - n, 0) for end, n in zip(ends, x.shape[1:3], strict=True)]
    padded = jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)))
    return [
        [padded[:, i : i + ends[0] + 1 : stride, j : j + ends[1] + 1 : stride] for j in range(side)]
        for i in range(side)
    ]


def relu6(x: jax.Array) -> jax.Array:
    """Return x, cut to 0 to 6."""
    return jnp.clip(x, 0, 6)


class Depthwise(nn.Module):
    """A convolution of each channel by itself, in float32 whatever the dtype of matrix products.

    It is a sum of products, which XLA fuses; on CPUs its own depthwise convolution is 10 to 70 times slower.
    """

    side: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (B, height, width, D) to (B, ceil(height / stride), ceil(width / stride), D)."""
        channels = x.shape[-1]
        weights = self.param("filter", nn.initializers.normal(0.1), (self.side, self.side, channels))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        for row, places in zip(weights, windows(x, self.side, self.stride), strict=True):
            for weight, place in zip(row, places, strict=True):
                bias = bias + weight * place
        return bias


class Bottleneck(nn.Module):
    """A bottleneck that widens its input, convolves each channel, and narrows it again.

    Its input is added where the shapes are equal.
    """

    shape: Stage
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (B, height, width, I) to (B, ceil(height / stride), ceil(width / stride), width)."""
        shape, hidden = self.shape, x
        if shape.expansion > 1:
            expand = Linear(shape.expansion * x.shape[-1], self.dtype, name="expand")
            hidden = relu6(expand(x))
        hidden = relu6(Depthwise(shape.kernel, shape.stride, name="depthwise")(hidden))
        y = Linear(shape.width, self.dtype, name="project")(hidden)
        return x + y if y.shape == x.shape else y


class ConvNet(nn.Module):
    """The network in steps: `embed`, the bottlenecks, `pool` and `classify`."""

    config: EfficientNetLiteConfig
    dtype: str = "float32"

    def setup(self) -> None:
        """Make the layers."""
        config, dtype = self.config, self.dtype
        self.stem = Linear(config.stem_width, dtype)
        self.layers = [
            Bottleneck(block, dtype, name=layer_name(n)) for n, block in enumerate(config.blocks, start=1)
        ]
        self.head = Linear(config.head_width, dtype)
        self.classifier = Linear(config.classes, dtype)

    def __call__(self, images: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return the logits (B, classes) of images, and each step's output by name."""
        x = self.embed(images)
        intermediates = {"stem": x}
        for n, layer in enumerate(self.layers, start=1):
            x = intermediates[layer_name(n)] = layer(x)
        pooled = intermediates["pooled"] = self.pool(x)
        return self.classifier(pooled), intermediates

    def embed(self, images: jax.Array) -> jax.Array:
        """Apply the first convolution: uint8 (B, height, width, 3) -> (B, rows, columns, D)."""
        pixels = (images.astype(jnp.float32) - PIXEL_MEAN) / PIXEL_SCALE
        places = [place for row in windows(pixels, 3, 2) for place in row]
        return relu6(self.stem(jnp.concatenate(places, axis=-1)))

    def pool(self, x: jax.Array) -> jax.Array:
        """Return the mean of the last convolution's output: (B, rows, columns, D) -> (B, E)."""
        return relu6(self.head(x)).mean(axis=(1, 2))
