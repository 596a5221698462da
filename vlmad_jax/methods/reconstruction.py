"""The base of methods that train a network of their own to reconstruct the reference images of a category."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.images import Array
from vlmad_jax.methods.detector import Detector, check_range
from vlmad_jax.runtime.sizes import ImageSize, height_and_width

# The number of steps between two fetches of the loss, so that the device does not wait for the progress bar.
SHOW_EVERY = 50

Carry = TypeVar("Carry")  # what one training step passes to the next


class State(NamedTuple):
    """The variables of networks with batch norms, trained on one category.

    Attributes:
      params: The parameters.
      batch_stats: The running means and variances of the batch norms.
    """

    params: dict[str, Any]
    batch_stats: dict[str, Any]


class ReconstructionDetector(Detector):
    """A detector with a network of its own; the backbone only gives the image size.

    A method is a frozen dataclass with at least the fields below, and defines `total_stride`, `prepare` and
    `score_with`.

    Attributes:
      image_size: The side of the images in pixels, or (height, width); None means the backbone's own.
      resolution: The longest side of reconstructions in pixels.
      steps: The number of training steps.
    """

    image_size: ImageSize | None
    resolution: int
    steps: int

    references: ClassVar = "always"
    options: ClassVar[tuple[str, ...]] = ("resolution", "steps")

    def __post_init__(self) -> None:
        """Check the image size, the resolution and the number of steps."""
        for side in self.size:
            check_range("image_size", side, self.total_stride, None)
        check_range("resolution", self.resolution, self.total_stride, None)
        check_range("steps", self.steps, 1, None)

    @property
    @abc.abstractmethod
    def total_stride(self) -> int:
        """The number of pixels that the sides of reconstructions are multiples of."""

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return infinity: the errors of normal images are far below any bound that they have."""
        del references
        return math.inf, math.inf

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""
        return height_and_width(self.backbone.image_size if self.image_size is None else self.image_size)

    @property
    def reconstructed(self) -> tuple[int, int]:
        """The (height, width) of reconstructions: multiples of the stride, up to `size` and `resolution`."""
        longest, stride = max(self.size), self.total_stride
        shrunk = (side * min(longest, self.resolution) // longest for side in self.size)
        height, width = (max(side // stride, 1) * stride for side in shrunk)
        return height, width

    def resized(self, images: Array) -> jax.Array:
        """Return uint8 images (B, h, w, 3) at the size of reconstructions, float32, 0 to 1."""
        shape = (len(images), *self.reconstructed, 3)
        return jax.image.resize(jnp.asarray(images, jnp.float32) / 255, shape, "linear")


def run_steps(
    step: Callable[[Carry, int], tuple[Carry, jax.Array]], carry: Carry, steps: int, name: str
) -> tuple[Carry, np.ndarray]:
    """Run training steps with a progress bar.

    Args:
      step: A function (carry, number of the step from 0) -> (carry, loss).
      carry: The variables and the state of the optimiser before the first step.
      steps: The number of steps.
      name: The name in the progress bar.

    Returns:
      The carry after the last step, and the loss of every step (steps,).
    """
    losses = []
    with tqdm(total=steps, desc=name, unit=" steps", dynamic_ncols=True, leave=False, disable=None) as bar:
        for number in range(steps):
            carry, loss = step(carry, number)
            losses.append(loss)
            if number % SHOW_EVERY == 0:
                bar.set_postfix_str(f"loss {float(loss):.4g}")
            bar.update()
    return carry, np.asarray(losses)


def batch_norm(train: bool) -> nn.BatchNorm:
    """Return PyTorch's batch norm, of the batch's statistics with `train`, otherwise of the running ones."""
    return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5)


# The (mean, standard deviation) of the initial values of DCGAN (Radford et al. 2016), by the arrays' names.
INITIAL = {"kernel": (0, 0.02), "scale": (1, 0.02), "bias": (0, 0), "mean": (0, 0), "var": (1, 0)}


def initial_variables(network: nn.Module, seed: int | list[int], images: Array) -> dict[str, Any]:
    """Draw the initial variables of a network for images (B, h, w, 3); nothing is compiled."""
    shapes = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), images)
    rng = np.random.default_rng(seed)

    def draw(path: Any, array: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.asarray(rng.normal(*INITIAL[path[-1].key], array.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
