"""Pictures that arrive one by one: named on standard input, or put into a folder by a camera."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vlmad_jax.data.pipeline import ReadPicture
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.judged import Judged, Key, judge, stacked
from vlmad_jax.inspection.sources import Found, find

POLL = 0.2  # seconds between two looks at a folder, at least
# A file that does not decode is given up when it has not changed for so many seconds.
PATIENCE = 2.0

Arrival = tuple[Key, dict[str, Any]]


def judge_live(detector: FittedDetector, arrivals: Iterable[Arrival]) -> Iterator[Judged]:
    """Each picture as it arrives, read by `ReadPicture`."""
    for key, row in arrivals:
        yield from judge(detector, [key], stacked([row]))


def named(lines: Iterable[bytes], read: ReadPicture) -> Iterator[Arrival]:
    """The pictures whose paths come as lines; empty lines are passed over."""
    for line in lines:
        if path := os.fsdecode(line.rstrip(b"\r\n")):
            yield Key(path), read(path)


def watch(
    folder: Path,
    read: ReadPicture,
    done: Collection[str] = (),
    without: Path | None = None,
    idle_seconds: float | None = None,
) -> Iterator[Arrival]:
    """The pictures in a folder and below it, those that are there and those that come, each path once.

    A file that is being written is waited for: it is read once two looks find it unchanged, and if it does
    not decode then, read again until it has not changed for `PATIENCE` seconds.

    Args:
      folder: is looked at every `POLL` seconds, less often if looking takes long.
      read: decodes.
      done: paths to pass over.
      without: a folder to pass over.
      idle_seconds: ends when no picture came for so long; None never ends.

    Raises:
      InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one to watch")
    seen, waiting = set(done), _Waiting()
    latest = time.monotonic()
    while idle_seconds is None or waiting.files or time.monotonic() - latest < idle_seconds:
        began = time.monotonic()
        listed = find(folder, without=without) if folder.is_dir() else ()  # a share may be away for a while
        fresh = [found for found in listed if found.path not in seen]
        looked = time.monotonic() - began
        for key, row in waiting.settled(fresh, read):
            seen.add(key.path)
            yield key, row
            latest = time.monotonic()
        time.sleep(max(POLL, 4 * looked))


class _State(NamedTuple):
    """What a file that is written to changes: its size, and the time of change in nanoseconds."""

    size: int
    changed: int


class _Waiting:
    """Files that are not settled: their state, and since when it is what it is."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[_State, float]] = {}

    def settled(self, fresh: list[Found], read: ReadPicture) -> Iterator[Arrival]:
        """Those of the files that are whole, or that will not be; the others are kept in mind."""
        before, self.files = self.files, {}
        states = {path: _state(path) for path, _ in fresh}
        for path, error in sorted(fresh, key=lambda found: states[found.path].changed):
            state, now = states[path], time.monotonic()
            known, since = before.get(path, (None, now))
            if error:
                yield Key(path), read.failed(error)
            elif state != known:
                self.files[path] = state, now
            else:
                row = read(path)
                if row["error"] and now - since < PATIENCE:
                    self.files[path] = state, since
                else:
                    yield Key(path), row


def _state(path: str) -> _State:
    try:
        status = os.stat(path)
    except OSError:  # it is gone, or a link to nothing
        return _State(-1, 0)
    return _State(status.st_size, status.st_mtime_ns)
