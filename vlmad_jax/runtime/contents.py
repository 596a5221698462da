"""Digests of what files hold, so that what is kept of a file is known by its content and not by its name.

A digest is remembered in the cache, by the file's path and by all that the file system changes when the file
is written, replaced or renamed, so that a second look costs a `stat`. A file that changed a moment ago is not
remembered: one that is written twice within a tick of the clock could look the same afterwards.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import xxhash
from tqdm import tqdm

from vlmad_jax.runtime.cache import cache_folder

# Seconds after its last change from which on a file is remembered; the coarsest clock of a file system has 2.
SETTLED = 4.0
# Files remembered; those remembered first go first.
MOST_FILES = 2_000_000
WRITTEN_TOGETHER = 1000
# Seconds to wait for another process that writes.
PATIENCE = 5.0
THREADS = 16
_PIECE = 2**18


class Signature(NamedTuple):
    """What changes when a file is written, replaced or renamed: size, times in nanoseconds, and inode."""

    size: int
    modified: int
    changed: int
    inode: int


def signature(path: str | os.PathLike[str]) -> Signature | None:
    """The signature of a file; None where there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return Signature(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


def digest(path: str | os.PathLike[str]) -> str:
    """32 hexadecimal digits of a file's content (XXH3), read now; "" where it cannot be read."""
    found = xxhash.xxh3_128()
    piece = memoryview(bytearray(_PIECE))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(piece):
                found.update(piece[:count])
    except OSError:
        return ""
    return found.hexdigest()


class Seen(NamedTuple):
    """What a file held when it was read: the digest of its content, "" if that is not known, and when."""

    digest: str = ""
    signature: Signature | None = None


UNKNOWN = Seen()


def seen(path: str | os.PathLike[str], before: Signature | None) -> Seen:
    """What a file holds, if it did not change since it had the signature `before`, when reading it began."""
    found = digest(path)
    return Seen(found, before) if found and before and signature(path) == before else UNKNOWN


def digests(paths: Sequence[str]) -> list[str]:
    """The digest of each file, from memory where it did not change since; "" where it cannot be read."""
    with remembered() as memory:
        before = [signature(path) for path in paths]
        found = [memory.recall(path, state) for path, state in zip(paths, before, strict=True)]
        unknown = [number for number, known in enumerate(found) if known is None]
        with ThreadPoolExecutor(THREADS) as pool:
            read = pool.map(digest, [paths[number] for number in unknown])
            bar = tqdm(read, "reading files", len(unknown), unit=" files", leave=False, delay=2, disable=None)
            for number, content in zip(unknown, bar, strict=True):
                found[number] = content
                memory.remember(paths[number], before[number], content)
    return [content or "" for content in found]


def digests_of(paths: Iterable[str]) -> dict[str, str]:
    """The digest of each file by its path, as `digests` gives it."""
    listed = list(dict.fromkeys(paths))
    return dict(zip(listed, digests(listed), strict=True))


class Memory:
    """Digests of files by path, kept in the cache; where it cannot be read or written, nothing is known."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._added: list[tuple[Any, ...]] = []
        self._latest: tuple[str, Signature] | None = None

    def recall(self, path: str, state: Signature | None) -> str | None:
        """The digest of a file that has this signature; None if that is not known."""
        if self._connection is None or state is None:
            return None
        with contextlib.suppress(sqlite3.Error):
            row = self._connection.execute(
                "SELECT digest, size, modified, changed, inode FROM files WHERE path = ?", (_key(path),)
            ).fetchone()
            if row is not None and row[1:] == _stored(state):
                return row[0]
        return None

    def remember(self, path: str, before: Signature | None, content: str) -> None:
        """Keeps the digest of a file, unless it changed since it had the signature `before`, or just now."""
        if before is None or not content or (path, before) == self._latest:  # frames of one file
            return
        self._latest = path, before
        just_now = time.time() - max(before.modified, before.changed) / 1e9 < SETTLED
        if just_now or signature(path) != before:
            return
        self._added.append((_key(path), content, *_stored(before)))
        if len(self._added) >= WRITTEN_TOGETHER:
            self.write()

    def write(self) -> None:
        """Writes what was added; another process that writes is waited for, and at last left to it."""
        added, self._added = self._added, []
        if self._connection is None or not added:
            return
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", added)
            oldest = "DELETE FROM files WHERE rowid <= (SELECT max(rowid) FROM files) - ?"
            self._connection.execute(oldest, (MOST_FILES,))


@contextlib.contextmanager
def remembered() -> Iterator[Memory]:
    """The memory of this user's cache; what is added to it is written at the end."""
    connection = _opened()
    memory = Memory(connection)
    try:
        yield memory
    finally:
        memory.write()
        if connection is not None:
            connection.close()


def _opened() -> sqlite3.Connection | None:
    """The file of the cache: made anew where it is damaged, done without where it cannot be made."""
    path = cache_folder() / "contents.sqlite"
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=PATIENCE)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, digest TEXT, size INTEGER, "
                "modified INTEGER, changed INTEGER, inode TEXT)"
            )
            return connection
        except (sqlite3.OperationalError, OSError):
            return None
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                path.unlink()
    return None


def _key(path: str) -> bytes:
    return os.fsencode(os.path.abspath(path))


def _stored(state: Signature) -> tuple[int, int, int, str]:
    """As the table holds it: an inode may be larger than its integers."""
    return state.size, state.modified, state.changed, str(state.inode)
