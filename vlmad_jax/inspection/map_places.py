"""Where heat maps are written: below `maps`, as their images lie below what was asked for.

`maps/bases.json` lists the folders that paths are relative to, in the order in which runs in the same `out`
came with them: the maps of the first lie in `maps` itself, those of each other in a folder of its own in it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmad_jax.inspection.judged import Key
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.run_folder import read_json

MAPS = "maps"
BASES = "bases.json"
ELSEWHERE = "elsewhere"  # of images that do not lie below the base


@dataclass(frozen=True)
class MapPlaces:
    """Paths of heat maps.

    Attributes:
      base: absolute; paths are relative to it.
      folder: the heat maps of images below the base are below it.
    """

    base: Path
    folder: Path

    @classmethod
    def taken(cls, out: Path, base: Path) -> MapPlaces:
        """The places of images below `base`, the same each time, and those of no other base.

        Raises InputError where the list of bases is damaged or cannot be written.
        """
        listed = out / MAPS / BASES
        folders: dict[str, str] = read_json(listed) if listed.exists() else {}
        if str(base) not in folders:
            folders[str(base)] = _free(folders, base.name) if folders else ""
            write_json(listed, folders)
        return cls(base, out / MAPS / folders[str(base)])

    def path(self, key: Key) -> Path:
        """Where the heat map of an image is: its own path below the base, with ".png" added."""
        place = absolute(key.path)
        below = place.is_relative_to(self.base)
        start = self.base if below else Path(place.anchor)
        path = self.folder.joinpath(*([] if below else [ELSEWHERE]), place.relative_to(start))
        if key.frame is not None:
            path = path / f"{key.frame:06d}"
        return path.with_name(path.name + ".png")


def _free(folders: dict[str, str], name: str) -> str:
    """A name that no other base has, and no folder in the first one."""
    first = Path(next(iter(folders)))
    names = itertools.chain([name or "root"], (f"{name}-{number}" for number in itertools.count(2)))
    return next(x for x in names if x not in folders.values() and not os.path.lexists(first / x))


def common_base(sources: Sequence[str]) -> Path:
    """The folder that lies deepest of those that hold all the sources; of one folder, itself."""
    folders = [absolute(source) if Path(source).is_dir() else absolute(source).parent for source in sources]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # drives of Windows have none in common
        return Path(folders[0].anchor)


def absolute(path: str | Path) -> Path:
    """A path from the root; "..", and what comes before it, is resolved, links after it are not."""
    path = Path(path).absolute()
    if ".." not in path.parts:
        return path
    end = len(path.parts) - path.parts[::-1].index("..")
    return Path(*path.parts[:end]).resolve().joinpath(*path.parts[end:])
