"""The configuration of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from vlmad_jax.methods import MethodOptions
from vlmad_jax.methods.options import YOUNGER

# How many reference images of each category a method uses: a number, or all of them. 0 is zero-shot, and with
# "batched" a method of `methods.BATCHED` scores the test images of a category together.
Shots = int | Literal["all", "batched"]


@dataclass(frozen=True)
class EvaluationConfig:
    """The values that the metrics of an evaluation depend on.

    Attributes:
      method: A name of `methods.METHODS`, or of `methods.BATCHED` if `shots` is "batched".
      weights: The directory or hub id of a checkpoint.
      dataset: A name of `data.DATASETS`.
      data_dir: The directory of the data set, if it needs one.
      categories: The categories to run; all if empty.
      batch_size: The number of images scored together.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      seed: The seed of the draw of reference images.
      options: The options of the method.
      shots: The number of reference images of each category, see `Shots`.
      reference_list: A `references.json` that lists the reference images, which are then not drawn.
      resize: "square" squeezes images to the detector's size; "shorter" keeps the proportions of a category,
        see `data.resizing`.
    """

    method: str
    weights: str
    dataset: str
    data_dir: str | None = None
    categories: tuple[str, ...] = ()
    batch_size: int = 16
    dtype: str = "float32"
    seed: int = 0
    options: MethodOptions = MethodOptions()
    shots: Shots = 0
    reference_list: str | None = None
    resize: str = field(default="square", metadata=YOUNGER)


@dataclass(frozen=True)
class Shard:
    """Shard `index`, from 0, of the `count` runs that share an evaluation."""

    index: int
    count: int

    def of(self, categories: Sequence[str]) -> Sequence[str]:
        """Return every `count`-th category, from number `index` on."""
        return categories[self.index :: self.count]
