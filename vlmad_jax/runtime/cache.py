"""What is kept between runs: where, whether, and arrays that are costly to compute.

Everything lies below one folder, of this user alone: indexes of data sets, rendered images, features, and,
unless `VLMAD_JAX_KEEP=0`, text embeddings and compiled programs. It can be removed at any time.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_atomically

# Raise it whenever this package computes other numbers, or keeps them in another form, than before. A test
# compares small outputs with those stored for this version.
CACHE_VERSION = 1

_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """The folder of all that is kept: $VLMAD_JAX_CACHE, or ~/.cache/vlmad_jax."""
    return Path(os.environ.get("VLMAD_JAX_CACHE") or Path.home() / ".cache" / "vlmad_jax").absolute()


def is_kept() -> bool:
    """Whether text embeddings and compiled programs are kept: not with `VLMAD_JAX_KEEP=0`."""
    return os.environ.get("VLMAD_JAX_KEEP", "1") != "0"


def software() -> str:
    """The versions that numbers depend on: of what is kept, of JAX, and of what reads and resizes images."""
    return f"cache {CACHE_VERSION} {_packages()}"


@functools.cache
def _packages() -> str:
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib", "pillow"))


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """16 hexadecimal digits that change with any of the parts, strings taken as UTF-8.

    >>> fingerprint(["cup", b"lid"])
    '226cd3b5a921e4fd'
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part)
    return digest.hexdigest()[:16]


def cache_key(*parts: str | bytes) -> str:
    """16 hexadecimal digits that change with any of the parts and with `software`; every key is one."""
    return fingerprint(itertools.chain([software()], *(("\0", part) for part in parts)))


def kept_array(kind: str, key: str, limit: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of that key in the folder `kind` of the cache, computed where it is not there yet.

    A file that is damaged counts as absent; a cache that cannot be written is done without. Of the folder's
    files, those unused for longest go as soon as they take more than `limit` bytes. Any number of processes
    may share it: each file is whole at every moment.
    """
    path = cache_folder() / kind / f"{key}.npy"
    found = _read(path)
    if found is None:
        found = compute()
        with contextlib.suppress(InputError):
            _write(path, found)
            _prune(path.parent, limit)
    return found


def _read(path: Path) -> np.ndarray | None:
    """The array that `_write` wrote; None if there is none, or its digest is not that of its bytes."""
    try:
        content = path.read_bytes()
        stored, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(stored).digest() != digest:
            return None
        os.utime(path)  # the last use, for `_prune`
    except OSError:
        return None
    return np.load(io.BytesIO(stored), allow_pickle=False)


def _write(path: Path, array: np.ndarray) -> None:
    """A .npy file, which numpy reads, with the SHA-256 of it at its end."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    stored = file.getvalue()
    write_atomically(path, stored + hashlib.sha256(stored).digest())


def _prune(folder: Path, limit: int) -> None:
    """Removes the files unused for longest until the rest take at most `limit` bytes."""
    files = []
    for path in folder.glob("*.npy"):
        with contextlib.suppress(FileNotFoundError):  # another process prunes too
            state = path.stat()
            files.append((state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
