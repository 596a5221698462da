"""Pictures through a detector as a stream: read ahead, scored in batches, nothing kept."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vlmad_jax.data.pipeline import ReadPicture, prefetch, read_batches
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.result import Result


class Key(NamedTuple):
    """A picture: its path, and of a video or another file of several the number of the frame, from 0."""

    path: str
    frame: int | None = None


@dataclass(frozen=True)
class Judged:
    """What came of a picture: a result, or the reason why there is none.

    `canvas` is the picture as the detector saw it, uint8 (rows, columns, 3).
    """

    key: Key
    canvas: np.ndarray | None
    result: Result | None
    milliseconds: float
    error: str = ""

    @classmethod
    def failed(cls, key: Key, error: str) -> Judged:
        """That of something that cannot be read."""
        return cls(key, None, None, 0.0, error)

    def with_result(self, result: Result) -> Judged:
        """The same with another result."""
        return dataclasses.replace(self, result=result)


# What `ReadPicture` makes of pictures, stacked, and which they are.
Read = tuple[Sequence[Key], dict[str, np.ndarray]]


def judge_paths(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[Judged]:
    """Each picture, in order; decoding, computing and what is done with the results overlap.

    `workers` processes decode; 0 decodes in threads of this one.
    """
    read = read_batches(paths, ReadPicture(detector.canvas), detector.batch_size, workers)
    keys = (list(map(Key, part)) for part in batched(paths, detector.batch_size))
    return judge_ahead(detector, _paired(keys, read))


def judge_ahead(detector: FittedDetector, read: Iterable[Read]) -> Iterator[Judged]:
    """`judge` of batches, in a thread that runs ahead."""
    with contextlib.closing(prefetch(read, lambda batch: judge(detector, *batch))) as judged:  # type: ignore[type-var]
        yield from itertools.chain.from_iterable(judged)


def judge(detector: FittedDetector, keys: Sequence[Key], read: dict[str, np.ndarray]) -> list[Judged]:
    """Pictures that were read, at most a batch of them, as `ReadPicture` gives them, stacked."""
    detector.scorer.warm_up(detector.state)  # not to be counted as the first picture's
    began = time.perf_counter()
    readable = read["error"] == b""
    sizes = [(int(height), int(width)) for height, width in read["size"][readable]]
    results = iter(detector.judge(read["image"][readable], sizes) if sizes else [])
    share = 1000 * (time.perf_counter() - began) / max(len(sizes), 1)
    judged = []
    rows = zip(keys, read["image"], read["error"], read["milliseconds"], strict=True)
    for key, image, error, milliseconds in rows:
        if error:
            judged.append(Judged.failed(key, error.decode("utf-8", "ignore")))
        else:
            judged.append(Judged(key, image, next(results), float(milliseconds) + share))
    return judged


def stacked(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Pictures that were read one by one as a batch."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of `size`, the last one maybe shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _paired(keys: Iterator[list[Key]], read: Generator[dict[str, np.ndarray], None, None]) -> Iterator[Read]:
    with contextlib.closing(read):
        yield from zip(keys, read, strict=True)
