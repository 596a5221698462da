"""Find images, read them ahead, and score them in batches as a stream that keeps nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vlmad_jax.data.images import is_image, read_pages
from vlmad_jax.data.pipeline import file_digest_of, prefetch, read_batches
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector, Result
from vlmad_jax.runtime.contents import UNKNOWN, FileDigest
from vlmad_jax.runtime.files import walk


class Found(NamedTuple):
    """A path, and the reason if it is not an image."""

    path: str
    error: str = ""


def find(
    source: str | Path, wanted: Callable[[Path], bool] = is_image, without: Path | None = None
) -> Iterator[Found]:
    """Yield a file, or the files of a folder and its subfolders, sorted by name with frame 2 before frame 10.

    Hidden files are skipped. A file whose name is not `wanted`, a folder that cannot be listed, and a link to
    a folder that was listed already come with the reason.

    Args:
      source: a file or a folder.
      wanted: tells by its name whether a file is an image.
      without: a folder to skip, where results are written.

    Raises:
      InputError: nothing exists at that path.
    """
    source = Path(source)
    if not source.is_dir():
        if not os.path.lexists(source):
            raise InputError(f"{source}: no such file or folder; give images, or a folder of them")
        yield Found(str(source))
        return
    refused: list[Found] = []
    skipped = None if without is None else without.resolve()
    if skipped is not None and source.resolve().is_relative_to(skipped):
        skipped = None  # the images lie among the results
    for folder, names in walk(source, lambda error: refused.append(_not_listed(error))):
        if skipped and Path(folder).resolve().is_relative_to(skipped):
            continue
        if names is None:
            yield Found(folder, "leads to a folder that was listed already; it is skipped")
            continue
        shown = sorted((name for name in names if not name.startswith(".")), key=natural_key)
        for path in (Path(folder, name) for name in shown):
            yield Found(str(path), "" if wanted(path) else _no_image(path))
    yield from refused


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their value.

    >>> sorted(["frame10.png", "frame2.png"], key=natural_key)
    ['frame2.png', 'frame10.png']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _no_image(path: Path) -> str:
    return f"is not an image by its name ({path.suffix or 'no suffix'})"


def _not_listed(error: OSError) -> Found:
    return Found(str(error.filename), f"cannot be listed ({error.strerror})")


class Key(NamedTuple):
    """An image: its path, and its frame from 0 where the file holds several images, such as a video."""

    path: str
    frame: int | None = None

    def __str__(self) -> str:
        return self.path if self.frame is None else f"{self.path} (image {self.frame})"


@dataclass(frozen=True)
class ScoredImage:
    """An image with its result, or with the reason why it has none.

    Attributes:
      key: the image.
      canvas: the resized image that was scored, uint8 (*canvas, 3).
      result: the result.
      milliseconds: time of decoding, and the image's share of the time in which its batch was scored.
      error: why it has no result.
      file: digest and signature of its file.
      several: whether it has no result because its file holds several images.
    """

    key: Key
    canvas: np.ndarray | None
    result: Result | None
    milliseconds: float
    error: str = ""
    file: FileDigest = UNKNOWN
    several: bool = False

    @classmethod
    def failed(cls, key: Key, error: str) -> ScoredImage:
        """Return an image without a result."""
        return cls(key, None, None, 0.0, error)

    def with_result(self, result: Result) -> ScoredImage:
        """Return the same image with another result."""
        return dataclasses.replace(self, result=result)


Read = tuple[Sequence[Key], dict[str, np.ndarray]]  # images, and their stacked rows of `ReadImage`


def score_files(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[ScoredImage]:
    """Score the images in files: first files that hold one image, then the pages of files that hold several.

    Each kind is in order. Decoding, scoring and the use of the results overlap. `workers` processes decode
    files of one image; 0 decodes in threads of this process.
    """
    several: list[str] = []
    for scored in score_each(detector, paths, workers):
        if scored.several:
            several.append(scored.key.path)
        else:
            yield scored
    yield from score_frames(detector, several)


def score_frames(
    detector: FittedDetector,
    paths: Iterable[str],
    frames_of: Callable[[str], Iterator[Image.Image]] = read_pages,
) -> Iterator[ScoredImage]:
    """Score the images in files of several, which `frames_of` reads, in order.

    An image that does not decode is the last of its file, with the reason.
    """
    read = detector.reader
    frames = (
        (Key(path, number), row)
        for path in paths
        for number, row in enumerate(read.each(path, frames_of(path)))
    )
    batches: Iterator[Read] = (
        ([key for key, _ in batch], stacked([row for _, row in batch]))
        for batch in batched(frames, detector.batch_size)
    )
    return score_ahead(detector, prefetch(batches, lambda batch: batch))


def score_each(detector: FittedDetector, paths: Sequence[str], workers: int = 0) -> Iterator[ScoredImage]:
    """Score the image in each file, in order; a file that holds several has no result."""
    read = read_batches(paths, detector.reader, detector.batch_size, workers)
    keys = (list(map(Key, part)) for part in batched(paths, detector.batch_size))
    return score_ahead(detector, _paired(keys, read))


def score_ahead(detector: FittedDetector, read: Iterable[Read]) -> Iterator[ScoredImage]:
    """Score batches in a thread that runs ahead."""
    with contextlib.closing(prefetch(read, lambda batch: score_batch(detector, *batch))) as scored:  # type: ignore[type-var]
        yield from itertools.chain.from_iterable(scored)


def score_batch(
    detector: FittedDetector, keys: Sequence[Key], read: dict[str, np.ndarray]
) -> list[ScoredImage]:
    """Score one batch of images, given by their stacked rows of `ReadImage`."""
    detector.warm_up()  # so that compiling is not part of the first image's time
    began = time.perf_counter()
    readable = read["error"] == b""
    sizes = [(int(height), int(width)) for height, width in read["size"][readable]]
    results = iter(detector.score(read["image"][readable], sizes) if sizes else [])
    share = 1000 * (time.perf_counter() - began) / max(len(sizes), 1)
    scored = []
    rows = zip(keys, read["image"], read["error"], read["milliseconds"], strict=True)
    for number, (key, image, error, milliseconds) in enumerate(rows):
        file = file_digest_of({name: read[name][number] for name in ("digest", "signature")})
        if error:
            failed = ScoredImage.failed(key, error.decode("utf-8", "ignore"))
            scored.append(dataclasses.replace(failed, several=bool(read["several"][number])))
        else:
            scored.append(ScoredImage(key, image, next(results), float(milliseconds) + share, file=file))
    return scored


def stacked(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Stack the rows of images to a batch."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _paired(keys: Iterator[list[Key]], read: Generator[dict[str, np.ndarray], None, None]) -> Iterator[Read]:
    with contextlib.closing(read):
        yield from zip(keys, read, strict=True)
