"""Where images come from: files, and folders with all that is below them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from vlmad_jax.data.images import is_image
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import walk


class Found(NamedTuple):
    """A path, and why it is no image, if it is none."""

    path: str
    error: str = ""


def find(
    source: str | Path, wanted: Callable[[Path], bool] = is_image, without: Path | None = None
) -> Iterator[Found]:
    """What is at a path: itself, or all files below it, folder by folder, frame 2 before frame 10.

    Hidden files are passed over, and what is in the folder `without`, where results are written. What is not
    `wanted` by its name, a folder that cannot be listed, and a link back to one that was listed come with the
    reason.

    Raises InputError when there is nothing at that path.
    """
    source = Path(source)
    if not source.is_dir():
        if not os.path.lexists(source):
            raise InputError(f"{source}: no such file or folder; give images, or a folder of them")
        yield Found(str(source))
        return
    refused: list[Found] = []
    apart = None if without is None else without.resolve()
    if apart is not None and source.resolve().is_relative_to(apart):
        apart = None  # the images lie among the results
    for folder, names in walk(source, lambda error: refused.append(_not_listed(error))):
        if apart and Path(folder).resolve().is_relative_to(apart):
            continue
        if names is None:
            yield Found(folder, "leads to a folder that was seen before; it is passed over")
            continue
        shown = sorted((name for name in names if not name.startswith(".")), key=natural)
        for path in (Path(folder, name) for name in shown):
            yield Found(str(path), "" if wanted(path) else _no_image(path))
    yield from refused


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value.

    >>> sorted(["frame10.png", "frame2.png"], key=natural)
    ['frame2.png', 'frame10.png']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _no_image(path: Path) -> str:
    return f"is no image by its name ({path.suffix or 'no suffix'})"


def _not_listed(error: OSError) -> Found:
    return Found(str(error.filename), f"cannot be listed ({error.strerror})")
