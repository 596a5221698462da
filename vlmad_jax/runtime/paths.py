"""Paths for libraries that take none but UTF-8."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vlmad_jax.runtime.names import as_text


@contextlib.contextmanager
def plain_path(path: Path) -> Iterator[Path]:
    """The absolute path, or one that leads to it, good within the block, where a folder's name is not UTF-8.

    The last part of the path has to be UTF-8; the folders above it are made.
    """
    path = path.absolute()
    if as_text(str(path)) == str(path):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "link")
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name
