"""Score images as they arrive: named on standard input, or written to a folder by a camera."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from vlmad_jax.data.images import read_pages
from vlmad_jax.data.pipeline import ReadImage, file_digest_of
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.outputs import Counts, HeatMapPaths, OutputWriter, absolute
from vlmad_jax.inspection.predict import PredictConfig, check_apart, open_journal
from vlmad_jax.inspection.stream import Found, Key, ScoredImage, find, score_batch, stacked
from vlmad_jax.runtime.contents import Signature, digests, open_digest_store, signature

POLL = 0.2  # least number of seconds between two listings of a folder
PATIENCE = 2.0  # seconds without a change after which a file that does not decode is given up

Arrival = tuple[Key, dict[str, Any]]


def predict_live(
    detector: FittedDetector,
    source: BinaryIO | Path,
    stream: TextIO,
    out: Path | None,
    config: PredictConfig,
    idle_seconds: float | None = None,
) -> Counts:
    """Score images as they arrive, and write a line of JSON for each to `stream` at once.

    Args:
      detector: the detector; with a batch size of 1 it scores single images fastest.
      source: lines with paths, or a folder to watch, which an interrupt also ends.
      stream: takes the lines.
      out: folder that rows are also written to, or None. A file that is written again gets another row. Files
        of a watched folder that have a row and have not changed are skipped.
      config: how images are scored; a sequence holds all of them.
      idle_seconds: ends watching after so many seconds without an image.

    Raises:
      InputError: `watch` or `Journal` raises it, or a line cannot be written.
    """
    read = detector.reader
    detector.warm_up()  # so that the first image does not wait for compiling
    if isinstance(source, Path) and out is not None:
        check_apart([str(source)], out)
    journal = None if out is None else open_journal(detector, out, config)
    unchanged = journal.unchanged() if journal is not None and isinstance(source, Path) else {}
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(open_digest_store())
        if journal is not None:
            stack.enter_context(journal)
        base = source if isinstance(source, Path) else Path.cwd()
        maps = HeatMapPaths.below(out, absolute(base)) if out is not None and config.save_maps else None
        writer = OutputWriter(journal, maps, stream, memory, unchanged)
        arrivals: Iterator[Arrival]
        if isinstance(source, Path):
            done = {key.path: str(row.content) for key, row in unchanged.items()}
            arrivals = watch(source, read, done, out, idle_seconds)
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        else:
            arrivals = images_from_lines(source, read)
        scored = score_live(detector, arrivals)
        for image in config.smoothing.apply(scored) if config.sequence else scored:
            writer.add(image)
    return writer.counts


def score_live(detector: FittedDetector, arrivals: Iterable[Arrival]) -> Iterator[ScoredImage]:
    """Score each image as it arrives."""
    for key, row in arrivals:
        yield from score_batch(detector, [key], stacked([row]))


def images_from_lines(lines: Iterable[bytes], read: ReadImage) -> Iterator[Arrival]:
    """Read the images in the files whose paths come as lines; skip empty lines."""
    for line in lines:
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield from _images(path, read)


def _images(path: str, read: ReadImage) -> Iterator[Arrival]:
    """Read the image in a file, or each of several images with its number."""
    row = read(path)
    if not row["several"]:
        yield Key(path), row
        return
    for number, page in enumerate(read.each(path, read_pages(path))):
        yield Key(path, number), page


def watch(
    folder: Path,
    read: ReadImage,
    done: Mapping[str, str] | None = None,
    without: Path | None = None,
    idle_seconds: float | None = None,
) -> Iterator[Arrival]:
    """Read the images in a folder and its subfolders: those that exist, those that arrive, those that change.

    A file is read when two listings find it unchanged. If it does not decode, it is read again until it has
    not changed for `PATIENCE` seconds. A file that is written again with another content is read again.

    Args:
      folder: the folder, which is listed every `POLL` seconds, less often if listing it takes long.
      read: decodes an image.
      done: digests of the contents of files to skip, by path.
      without: a folder to skip.
      idle_seconds: ends after so many seconds without an image; None never ends.

    Raises:
      InputError: the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder that exists")
    files = _Files(done or {})
    latest = time.monotonic()
    while idle_seconds is None or files.waiting or time.monotonic() - latest < idle_seconds:
        began = time.monotonic()
        # A network folder may be absent for a while.
        listed = find(folder, without=without) if folder.is_dir() else ()
        changed = files.changed(listed)
        looked = time.monotonic() - began
        for arrival in files.settled(changed, read):
            yield arrival
            latest = time.monotonic()
        time.sleep(max(POLL, 4 * looked))


class _Files:
    """The state of the files in a watched folder.

    Attributes:
      contents: digest of the content that was scored last, by path.
      scored: signature of the file at that time, by path.
      refused: files that are not images by their name, which are reported once.
      waiting: files that are not settled, with their signature and the time since when they have it.
    """

    def __init__(self, done: Mapping[str, str]) -> None:
        self.contents = dict(done)
        self.scored: dict[str, Signature | None] = {}
        self.refused: set[str] = set()
        self.waiting: dict[str, tuple[Signature | None, float]] = {}

    def changed(self, listed: Iterable[Found]) -> list[tuple[Found, Signature | None]]:
        """Return the files that changed since they were scored, with their signatures, oldest first."""
        found = []
        for file in listed:
            if file.path in self.refused:
                continue
            state = signature(file.path)
            if file.path not in self.scored or self.scored[file.path] != state:
                found.append((file, state))
        return sorted(found, key=lambda item: item[1].modified if item[1] else 0)

    def settled(
        self, changed: Sequence[tuple[Found, Signature | None]], read: ReadImage
    ) -> Iterator[Arrival]:
        """Read the images in files that are settled; keep the others waiting."""
        before, self.waiting = self.waiting, {}
        for (path, error), state in changed:
            now = time.monotonic()
            known, since = before.get(path, ((), now))
            if error:
                self.refused.add(path)
                yield Key(path), read.failed(error)
            elif state != known:
                self.waiting[path] = state, now
            elif self._is_known(path):
                self.scored[path] = state
            else:
                images = list(_images(path, read))
                if any(row["error"] for _, row in images) and now - since < PATIENCE:
                    self.waiting[path] = state, since
                else:
                    self.scored[path] = state
                    self.contents[path] = file_digest_of(images[0][1]).digest
                    yield from images

    def _is_known(self, path: str) -> bool:
        """Return whether a file that was written again has the content that was scored."""
        return bool(self.contents.get(path)) and digests([path])[0] == self.contents[path]
