"""The cache: its folder, its keys, and arrays that are stored between runs.

One folder of the user holds indexes of data sets, rendered images and features. Unless `VLMAD_JAX_KEEP=0`, it
also holds text embeddings and compiled programs. The folder can be removed at any time.
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

# Raise this number whenever the package computes different numbers or stores them in a different format. A
# test compares small outputs with those stored for this version.
CACHE_VERSION = 1

_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Return the cache folder: $VLMAD_JAX_CACHE, or ~/.cache/vlmad_jax."""
    return Path(os.environ.get("VLMAD_JAX_CACHE") or Path.home() / ".cache" / "vlmad_jax").absolute()


def cache_enabled() -> bool:
    """Return whether text embeddings and compiled programs are cached: not with `VLMAD_JAX_KEEP=0`."""
    return os.environ.get("VLMAD_JAX_KEEP", "1") != "0"


def software_versions() -> str:
    """Return the versions that computed numbers depend on: of the cache, of JAX and of Pillow."""
    return f"cache {CACHE_VERSION} {_packages()}"


@functools.cache
def _packages() -> str:
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib", "pillow"))


def fingerprint(parts: Iterable[str | bytes]) -> str:
    """Return 16 hexadecimal digits that depend on all parts, joined, with strings encoded as UTF-8.

    >>> fingerprint(["cup", b"lid"])
    '226cd3b5a921e4fd'
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part)
    return digest.hexdigest()[:16]


def cache_key(*parts: str | bytes) -> str:
    """Return a cache key: 16 hexadecimal digits that depend on all parts and on `software_versions`."""
    return fingerprint(itertools.chain([software_versions()], *(("\0", part) for part in parts)))


def cached_array(kind: str, key: str, limit: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the cached array of a key, or compute and store it.

    A damaged file counts as absent. If the cache cannot be written, the array is computed every time. Several
    processes may share the cache, because each file is written atomically.

    Args:
      kind: The subfolder of the cache.
      key: The name of the file, see `cache_key`.
      limit: The largest size of the subfolder in bytes; the least recently used files are removed first.
      compute: Computes the array.
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
    """Return the array that `_write` stored, or None if the file is missing or damaged."""
    try:
        content = path.read_bytes()
        stored, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(stored).digest() != digest:
            return None
        os.utime(path)  # records the last use for `_prune`
    except OSError:
        return None
    return np.load(io.BytesIO(stored), allow_pickle=False)


def _write(path: Path, array: np.ndarray) -> None:
    """Store a .npy file, which NumPy can read, followed by its SHA-256."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    stored = file.getvalue()
    write_atomically(path, stored + hashlib.sha256(stored).digest())


def _prune(folder: Path, limit: int) -> None:
    """Remove the least recently used files until the others take at most `limit` bytes."""
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
