"""Images through a detector as a stream: read ahead, scored in batches, nothing kept."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vlmad_jax.data.pipeline import ReadImage, file_digest_of, prefetch, read_batches
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.result import Result
from vlmad_jax.inspection.video import frames_of
from vlmad_jax.runtime.contents import UNKNOWN, FileDigest


class Key(NamedTuple):
    """An image: its path, and in a video or another file of several the number of the frame, from 0."""

    path: str
    frame: int | None = None

    def __str__(self) -> str:
        return self.path if self.frame is None else f"{self.path} (image {self.frame})"


@dataclass(frozen=True)
class Judged:
    """An image with its result, or the reason why there is none.

    Attributes:
      key: which image it is.
      canvas: the image as the detector saw it, uint8 (rows, columns, 3).
      result: what the detector says.
      milliseconds: for decoding, and its share of the batch's computing.
      error: why there is no result.
      file: what its file held.
      several: whether that is that the file holds several images.
    """

    key: Key
    canvas: np.ndarray | None
    result: Result | None
    milliseconds: float
    error: str = ""
    file: FileDigest = UNKNOWN
    several: bool = False

    @classmethod
    def failed(cls, key: Key, error: str) -> Judged:
        """That of something that cannot be read."""
        return cls(key, None, None, 0.0, error)

    def with_result(self, result: Result) -> Judged:
        """The same with another result."""
        return dataclasses.replace(self, result=result)


# What `ReadImage` makes of images, stacked, and which they are.
Read = tuple[Sequence[Key], dict[str, np.ndarray]]


def judge_files(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[Judged]:
    """Every image in some files: those of files that hold one, then the pages of those that hold several.

    Each kind is in order; decoding, computing and what is done with the results overlap. `workers` processes
    decode files of one image; 0 decodes in threads of this one.
    """
    several: list[str] = []
    for judged in judge_paths(detector, paths, workers):
        if judged.several:
            several.append(judged.key.path)
        else:
            yield judged
    yield from judge_frames(detector, several)


def judge_frames(detector: FittedDetector, paths: Iterable[str]) -> Iterator[Judged]:
    """The frames of videos and of files of several images, in order.

    One that does not decode is the last of its file, with the reason.
    """
    read = ReadImage(detector.canvas)
    frames = (
        (Key(path, number), row)
        for path in paths
        for number, row in enumerate(read.each(path, frames_of(path)))
    )
    batches: Iterator[Read] = (
        ([key for key, _ in batch], stacked([row for _, row in batch]))
        for batch in batched(frames, detector.batch_size)
    )
    return judge_ahead(detector, prefetch(batches, lambda batch: batch))


def judge_paths(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[Judged]:
    """One for each file, in order: that of its image, or one that says that the file holds several."""
    read = read_batches(paths, ReadImage(detector.canvas), detector.batch_size, workers)
    keys = (list(map(Key, part)) for part in batched(paths, detector.batch_size))
    return judge_ahead(detector, _paired(keys, read))


def judge_ahead(detector: FittedDetector, read: Iterable[Read]) -> Iterator[Judged]:
    """`judge` of batches, in a thread that runs ahead."""
    with contextlib.closing(prefetch(read, lambda batch: judge(detector, *batch))) as judged:  # type: ignore[type-var]
        yield from itertools.chain.from_iterable(judged)


def judge(detector: FittedDetector, keys: Sequence[Key], read: dict[str, np.ndarray]) -> list[Judged]:
    """Images that were read, at most a batch of them, as `ReadImage` gives them, stacked."""
    detector.scorer.warm_up(detector.state)  # not to be counted as the first image's
    began = time.perf_counter()
    readable = read["error"] == b""
    sizes = [(int(height), int(width)) for height, width in read["size"][readable]]
    results = iter(detector.judge(read["image"][readable], sizes) if sizes else [])
    share = 1000 * (time.perf_counter() - began) / max(len(sizes), 1)
    judged = []
    rows = zip(keys, read["image"], read["error"], read["milliseconds"], strict=True)
    for number, (key, image, error, milliseconds) in enumerate(rows):
        file = file_digest_of({name: read[name][number] for name in ("digest", "signature")})
        if error:
            failed = Judged.failed(key, error.decode("utf-8", "ignore"))
            judged.append(dataclasses.replace(failed, several=bool(read["several"][number])))
        else:
            judged.append(Judged(key, image, next(results), float(milliseconds) + share, file=file))
    return judged


def stacked(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Images that were read one by one as a batch."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of `size`, the last one maybe shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _paired(keys: Iterator[list[Key]], read: Generator[dict[str, np.ndarray], None, None]) -> Iterator[Read]:
    with contextlib.closing(read):
        yield from zip(keys, read, strict=True)
