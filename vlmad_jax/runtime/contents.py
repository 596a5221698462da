"""Digests of the contents of files, so that results are cached by a file's content and not by its name.

The cache stores each digest with the file's path and its signature: everything that the file system changes
when a file is written, replaced or renamed. Looking a digest up again costs one `stat`. The digest of a file
that changed a moment ago is not stored, because a second change within one tick of the clock could leave the
same signature.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from tqdm import tqdm

from vlmad_jax.runtime.cache import cache_folder

# A digest is stored once the file has not changed for this many seconds. The coarsest clock of a file system
# has ticks of 2 seconds.
SETTLED = 4.0
# The largest number of stored digests; the oldest are removed first.
MOST_FILES = 2_000_000
WRITTEN_TOGETHER = 1000
# Seconds to wait while another process writes.
PATIENCE = 5.0
THREADS = 16
_CHUNK = 2**18  # bytes


class Signature(NamedTuple):
    """Size, times (ns) and inode of a file, which change when it is written, replaced or renamed."""

    size: int
    modified: int
    changed: int
    inode: int


def signature(path: str | os.PathLike[str]) -> Signature | None:
    """Return the signature of a file, or None if there is no such file."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return Signature(state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)


def digest(path: str | os.PathLike[str]) -> str:
    """Read a file and return 32 hexadecimal digits of its content (XXH3), or "" if it cannot be read."""
    import xxhash  # here, so that the GPU benchmark runs where it is not installed

    found = xxhash.xxh3_128()
    chunk = memoryview(bytearray(_CHUNK))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(chunk):
                found.update(chunk[:count])
    except OSError:
        return ""
    return found.hexdigest()


class FileDigest(NamedTuple):
    """The digest of a file's content, "" if unknown, and the signature that the file had when it was read."""

    digest: str = ""
    signature: Signature | None = None


UNKNOWN = FileDigest()


def digest_if_unchanged(path: str | os.PathLike[str], before: Signature | None) -> FileDigest:
    """Return the digest of a file that still has the signature `before`, otherwise UNKNOWN."""
    found = digest(path)
    return FileDigest(found, before) if found and before and signature(path) == before else UNKNOWN


def digests(paths: Sequence[str]) -> list[str]:
    """Return the digest of each file, from the cache if it is unchanged; "" if it cannot be read."""
    with open_digest_store() as store:
        before = [signature(path) for path in paths]
        found = [store.get(path, state) for path, state in zip(paths, before, strict=True)]
        unknown = [number for number, known in enumerate(found) if known is None]
        with ThreadPoolExecutor(THREADS) as pool:
            read = pool.map(digest, [paths[number] for number in unknown])
            bar = tqdm(read, "reading files", len(unknown), unit=" files", leave=False, delay=2, disable=None)
            for number, content in zip(unknown, bar, strict=True):
                found[number] = content
                store.add(paths[number], before[number], content)
    return [content or "" for content in found]


def digests_of(paths: Iterable[str]) -> dict[str, str]:
    """Return the digest of each file by its path, see `digests`."""
    listed = list(dict.fromkeys(paths))
    return dict(zip(listed, digests(listed), strict=True))


class DigestStore:
    """Digests of files by path, stored in the cache. If the cache cannot be used, no digest is known."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._added: list[tuple[Any, ...]] = []
        self._latest: tuple[str, Signature] | None = None

    def get(self, path: str, state: Signature | None) -> str | None:
        """Return the digest of a file that has this signature, or None if it is unknown."""
        if self._connection is None or state is None:
            return None
        with contextlib.suppress(sqlite3.Error):
            row = self._connection.execute(
                "SELECT digest, size, modified, changed, inode FROM files WHERE path = ?", (_key(path),)
            ).fetchone()
            if row is not None and row[1:] == _stored(state):
                return row[0]
        return None

    def add(self, path: str, before: Signature | None, content: str) -> None:
        """Store the digest of a file, unless it lost the signature `before` or changed a moment ago."""
        if before is None or not content or (path, before) == self._latest:  # another frame of the same file
            return
        self._latest = path, before
        just_now = time.time() - max(before.modified, before.changed) / 1e9 < SETTLED
        if just_now or signature(path) != before:
            return
        self._added.append((_key(path), content, *_stored(before)))
        if len(self._added) >= WRITTEN_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write the added digests. If another process writes for longer than `PATIENCE`, they are dropped."""
        added, self._added = self._added, []
        if self._connection is None or not added:
            return
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", added)
            oldest = "DELETE FROM files WHERE rowid <= (SELECT max(rowid) FROM files) - ?"
            self._connection.execute(oldest, (MOST_FILES,))


@contextlib.contextmanager
def open_digest_store() -> Iterator[DigestStore]:
    """Yield the digest store of the cache; added digests are written at the end of the block."""
    connection = _open()
    store = DigestStore(connection)
    try:
        yield store
    finally:
        store.flush()
        if connection is not None:
            connection.close()


def _open() -> sqlite3.Connection | None:
    """Open the database. A damaged one is replaced; None is returned if it cannot be opened."""
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
    """Return a signature as a row of the table, whose integers are too small for some inodes."""
    return state.size, state.modified, state.changed, str(state.inode)
