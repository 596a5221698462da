"""Batches of images with masks and labels, each a function of the seed and the step alone."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vlmad_jax.data import Sample
from vlmad_jax.data.pipeline import ReadRow, Row, read_error
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.data.workers import stream
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.sizes import ImageSize

Batch = dict[str, Any]


@dataclass(frozen=True, eq=False)  # compared by identity: hashing all samples would be slow
class LabelledImages:
    """Training samples, shuffled anew in every epoch. A batch may extend into the next epoch.

    Attributes:
      samples: The N samples.
      classes: The number of each category.
      size: The side or (height, width) in pixels to which images and masks are resized.
      batch_size: B, over all processes.
      seed: The seed of the order.
      with_masks: Whether to read masks.
      resample: The filter of resizing, a name in `images.FILTERS`.
    """

    samples: tuple[Sample, ...]
    classes: Mapping[str, int]
    size: ImageSize
    batch_size: int
    seed: int
    with_masks: bool
    resample: str = "bicubic"

    @functools.lru_cache(maxsize=2)  # noqa: B019  a run has one of these
    def order(self, epoch: int) -> np.ndarray:
        """Return the sample numbers in the order of an epoch, (N,)."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))

    def numbers(self, step: int) -> np.ndarray:
        """Return the sample numbers of a step, counted from 0, for all processes: (B,)."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, len(self.samples))
        return np.array([self.order(int(e))[place] for e, place in zip(epochs, places, strict=True)])

    def step_samples(self, step: int) -> tuple[Sample, ...]:
        """Return the samples of a step, for all processes."""
        return tuple(self.samples[number] for number in self.numbers(step))

    def local_numbers(self, step: int) -> np.ndarray:
        """Return the sample numbers of a step that this process reads: (B / processes,)."""
        return np.split(self.numbers(step), jax.process_count())[jax.process_index()]

    @property
    def reader(self) -> ReadRow:
        """The callable that decodes and resizes one sample."""
        return ReadRow((self.resizing,), self.with_masks)

    @property
    def resizing(self) -> Resizing:
        """The resizing of every image and mask."""
        return Resizing.to(self.size, self.resample)

    @property
    def pixel_key(self) -> tuple[Any, ...]:
        """The values, besides the data set, that the pixels depend on."""
        return () if self.resample == "bicubic" else (self.resample,)

    def read(self, numbers: Sequence[int], size: int, workers: int) -> Iterator[Batch]:
        """Yield samples by number, `size` at a time: image uint8 (b, h, w, 3), `labels`, mask (b, h, w).

        Raises:
          InputError: An image or mask does not decode. The message names it.
        """
        import grain

        rows = [Row(self.samples[number], int(number), 0) for number in numbers]
        dataset = grain.MapDataset.source(rows).map(self.reader).batch(size)
        with contextlib.closing(stream(dataset, workers)) as read:
            for arrays in read:
                for number in arrays["index"][~arrays["readable"]]:
                    raise InputError(str(read_error(self.samples[number], self.with_masks)))
                masks = {"mask": arrays["mask"]} if self.with_masks else {}
                yield {"image": arrays["image"], **self.labels(arrays["index"]), **masks}

    def labels(self, numbers: Iterable[int]) -> Batch:
        """Return the label and class_id of samples by number, int32 (b,) each."""
        samples = [self.samples[number] for number in numbers]
        return {
            "label": np.array([sample.label for sample in samples], np.int32),
            "class_id": np.array([self.classes[sample.category] for sample in samples], np.int32),
        }

    def batches(self, first: int, last: int, workers: int) -> Iterator[Batch]:
        """Yield this process's part of the batches of steps `first` to `last` - 1."""
        numbers = [number for step in range(first, last) for number in self.local_numbers(step)]
        return self.read(numbers, self.batch_size // jax.process_count(), workers)
