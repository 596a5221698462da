"""Images that arrive one by one: named on standard input, or put into a folder by a camera."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from vlmad_jax.data.images import read_pages
from vlmad_jax.data.pipeline import ReadImage, seen_in
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.outputs import Counts, HeatMapPaths, OutputWriter, absolute
from vlmad_jax.inspection.predict import PredictConfig, check_apart, open_journal
from vlmad_jax.inspection.stream import Found, Key, ScoredImage, find, score_batch, stacked
from vlmad_jax.runtime.contents import Signature, digests, remembered, signature

POLL = 0.2  # seconds between two looks at a folder, at least
# A file that does not decode is given up when it has not changed for so many seconds.
PATIENCE = 2.0

Arrival = tuple[Key, dict[str, Any]]


def predict_live(
    detector: FittedDetector,
    source: BinaryIO | Path,
    stream: TextIO,
    out: Path | None,
    config: PredictConfig,
    idle_seconds: float | None = None,
) -> Counts:
    """Judges images as they come, and answers each at once by a line of JSON on `stream`.

    Args:
      detector: scores single images quickest with a batch size of 1.
      source: lines with paths, or a folder to watch; watching ends by an interrupt too.
      stream: of the answers.
      out: rows are also written there, if given, those of a file that is written again beside those of
        before; files of a watched folder that are in it, and did not change, are passed over.
      config: all images together are the sequence, if they are one.
      idle_seconds: watching ends when no image came for so long.

    Raises:
      InputError: see `watch` and `Journal`; or an answer cannot be written.
    """
    read = ReadImage(detector.canvas)
    detector.scorer.warm_up(detector.state)  # so that the first image need not wait
    if isinstance(source, Path) and out is not None:
        check_apart([str(source)], out)
    journal = None if out is None else open_journal(detector, out, config)
    unchanged = journal.unchanged() if journal is not None and isinstance(source, Path) else {}
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(remembered())
        if journal is not None:
            stack.enter_context(journal)
        base = source if isinstance(source, Path) else Path.cwd()
        maps = HeatMapPaths.taken(out, absolute(base)) if out is not None and config.save_maps else None
        answers = OutputWriter(journal, maps, stream, memory, unchanged)
        arrivals: Iterator[Arrival]
        if isinstance(source, Path):
            done = {key.path: str(row.content) for key, row in unchanged.items()}
            arrivals = watch(source, read, done, out, idle_seconds)
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        else:
            arrivals = images_from_lines(source, read)
        scored = score_live(detector, arrivals)
        for answer in config.smoothing.apply(scored) if config.sequence else scored:
            answers.add(answer)
    return answers.counts


def score_live(detector: FittedDetector, arrivals: Iterable[Arrival]) -> Iterator[ScoredImage]:
    """Each image as it arrives, read by `ReadImage`."""
    for key, row in arrivals:
        yield from score_batch(detector, [key], stacked([row]))


def images_from_lines(lines: Iterable[bytes], read: ReadImage) -> Iterator[Arrival]:
    """The images in the files whose paths come as lines; empty lines are passed over."""
    for line in lines:
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield from _images(path, read)


def _images(path: str, read: ReadImage) -> Iterator[Arrival]:
    """The image in a file, or each of several with its number."""
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
    """The images in a folder and below it: those that are there, those that come, and those that change.

    A file that is being written is waited for: it is read once two looks find it unchanged, and if it does
    not decode then, read again until it has not changed for `PATIENCE` seconds. A file that is written again
    comes again once it is whole, if its content is another.

    Args:
      folder: is looked at every `POLL` seconds, less often if looking takes long.
      read: decodes.
      done: the digests of the contents, by path, of files to pass over.
      without: a folder to pass over.
      idle_seconds: ends when no image came for so long; None never ends.

    Raises:
      InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one to watch")
    files = _Files(done or {})
    latest = time.monotonic()
    while idle_seconds is None or files.waiting or time.monotonic() - latest < idle_seconds:
        began = time.monotonic()
        listed = find(folder, without=without) if folder.is_dir() else ()  # a share may be away for a while
        changed = files.changed(listed)
        looked = time.monotonic() - began
        for arrival in files.settled(changed, read):
            yield arrival
            latest = time.monotonic()
        time.sleep(max(POLL, 4 * looked))


class _Files:
    """The files of a folder that is watched.

    Attributes:
      contents: by path, the digest of what was scored last.
      scored: by path, the signature of the file when that was.
      refused: what is no image by its name, which is told once.
      waiting: files that are not settled, with their signature, and since when it is what it is.
    """

    def __init__(self, done: Mapping[str, str]) -> None:
        self.contents = dict(done)
        self.judged: dict[str, Signature | None] = {}
        self.refused: set[str] = set()
        self.waiting: dict[str, tuple[Signature | None, float]] = {}

    def changed(self, listed: Iterable[Found]) -> list[tuple[Found, Signature | None]]:
        """Those that are not as they were when they were scored, with their signatures; oldest first."""
        found = []
        for file in listed:
            if file.path in self.refused:
                continue
            state = signature(file.path)
            if file.path not in self.judged or self.judged[file.path] != state:
                found.append((file, state))
        return sorted(found, key=lambda item: item[1].modified if item[1] else 0)

    def settled(
        self, changed: Sequence[tuple[Found, Signature | None]], read: ReadImage
    ) -> Iterator[Arrival]:
        """The images in those that are whole, or that never will be; the others are waited for."""
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
                self.judged[path] = state
            else:
                images = list(_images(path, read))
                if any(row["error"] for _, row in images) and now - since < PATIENCE:
                    self.waiting[path] = state, since
                else:
                    self.judged[path] = state
                    self.contents[path] = seen_in(images[0][1]).digest
                    yield from images

    def _is_known(self, path: str) -> bool:
        """Whether a file that was written again holds what was scored."""
        return bool(self.contents.get(path)) and digests([path])[0] == self.contents[path]
