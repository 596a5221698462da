"""Batches of images with masks and labels, each a pure function of the seed and its number."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from vlmad_jax.data import Sample
from vlmad_jax.data.pipeline import ReadRow, Row, read_error
from vlmad_jax.data.workers import stream
from vlmad_jax.errors import InputError

if TYPE_CHECKING:
    from vlmad_jax.training.feature_store import FeatureCache

Batch = dict[str, Any]


@dataclass(frozen=True, eq=False)  # told apart by identity: a hash of all samples would be slow
class LabelledImages:
    """Samples in an order that is drawn anew every epoch; a step's batch may reach into the next epoch.

    Attributes:
      samples: N of them.
      classes: the number of each category.
      size: S, the side to which images and masks are resized.
      batch_size: B, over all processes.
      seed: of the order.
      with_masks: whether masks are read.
    """

    samples: tuple[Sample, ...]
    classes: Mapping[str, int]
    size: int
    batch_size: int
    seed: int
    with_masks: bool

    @functools.lru_cache(maxsize=2)  # noqa: B019  a run has one of these
    def order(self, epoch: int) -> np.ndarray:
        """The numbers of the samples in the order of an epoch, (N,)."""
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))

    def numbers(self, step: int) -> np.ndarray:
        """The numbers of the samples of a step, counted from 0: (B,)."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, len(self.samples))
        return np.array([self.order(int(e))[place] for e, place in zip(epochs, places, strict=True)])

    def of_step(self, step: int) -> tuple[Sample, ...]:
        """The samples of a step."""
        return tuple(self.samples[number] for number in self.numbers(step))

    def own(self, step: int) -> np.ndarray:
        """The part of `numbers` that this process reads: (B / processes,)."""
        return np.split(self.numbers(step), jax.process_count())[jax.process_index()]

    @property
    def reader(self) -> ReadRow:
        """What decodes and resizes one sample."""
        return ReadRow(self.size, self.with_masks)

    @property
    def origin(self) -> tuple[Any, ...]:
        """What the pixels depend on besides the data set: nothing."""
        return ()

    def read(self, numbers: Sequence[int], size: int, workers: int) -> Iterator[Batch]:
        """Samples by their numbers, `size` at a time: image uint8 (b, S, S, 3), `labels`, mask (b, S, S).

        Raises:
          InputError: one does not decode; it is named.
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
        """What is known of samples by their numbers: label and class_id, int32 (b,)."""
        samples = [self.samples[number] for number in numbers]
        return {
            "label": np.array([sample.label for sample in samples], np.int32),
            "class_id": np.array([self.classes[sample.category] for sample in samples], np.int32),
        }


def batches(
    images: LabelledImages, first: int, last: int, workers: int, cache: FeatureCache | None = None
) -> Iterator[Batch]:
    """This process's part of the batches of steps `first` to `last` - 1, for the loss of a detector.

    With `cache`, features take the place of images and nothing is decoded.
    """
    if cache is not None:
        return (cache.batch(images, images.own(step)) for step in range(first, last))
    numbers = [number for step in range(first, last) for number in images.own(step)]
    return images.read(numbers, images.batch_size // jax.process_count(), workers)
