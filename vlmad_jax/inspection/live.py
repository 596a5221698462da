"""Images that arrive one by one: named on standard input, or put into a folder by a camera."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmad_jax.data.pipeline import ReadImage, file_digest_of
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.judged import Judged, Key, judge, stacked
from vlmad_jax.inspection.sources import Found, find
from vlmad_jax.inspection.video import frames_of
from vlmad_jax.runtime.contents import Signature, digests, signature

POLL = 0.2  # seconds between two looks at a folder, at least
# A file that does not decode is given up when it has not changed for so many seconds.
PATIENCE = 2.0

Arrival = tuple[Key, dict[str, Any]]


def judge_live(detector: FittedDetector, arrivals: Iterable[Arrival]) -> Iterator[Judged]:
    """Each image as it arrives, read by `ReadImage`."""
    for key, row in arrivals:
        yield from judge(detector, [key], stacked([row]))


def named(lines: Iterable[bytes], read: ReadImage) -> Iterator[Arrival]:
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
    for number, page in enumerate(read.each(path, frames_of(path))):
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
      contents: by path, the digest of what was judged last.
      judged: by path, the signature of the file when that was.
      refused: what is no image by its name, which is told once.
      waiting: files that are not settled, with their signature, and since when it is what it is.
    """

    def __init__(self, done: Mapping[str, str]) -> None:
        self.contents = dict(done)
        self.judged: dict[str, Signature | None] = {}
        self.refused: set[str] = set()
        self.waiting: dict[str, tuple[Signature | None, float]] = {}

    def changed(self, listed: Iterable[Found]) -> list[tuple[Found, Signature | None]]:
        """Those that are not as they were when they were judged, with their signatures; oldest first."""
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
                    self.contents[path] = file_digest_of(images[0][1]).digest
                    yield from images

    def _is_known(self, path: str) -> bool:
        """Whether a file that was written again holds what was judged."""
        return bool(self.contents.get(path)) and digests([path])[0] == self.contents[path]
