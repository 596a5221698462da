"""Write the results of images: rows, heat maps, and lines on a stream.

Heat maps lie below `maps`, as their images lie below the folder that was asked for. `maps/bases.json` lists
the folders that paths are relative to, in the order in which runs in the same `out` used them: the maps of
the first lie in `maps` itself, those of each other one in a folder of its own there.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import Result
from vlmad_jax.inspection.journal import MAPS, Journal, Kept, Row
from vlmad_jax.inspection.stream import Key, ScoredImage
from vlmad_jax.report import captioned, draw_map, enlarged, heat_colours, in_proportion, number
from vlmad_jax.runtime.contents import Memory
from vlmad_jax.runtime.files import write_atomically, write_json
from vlmad_jax.runtime.names import shown
from vlmad_jax.runtime.run_folder import read_json


def write_heat_map(path: Path, scored: ScoredImage) -> None:
    """Writes the image, its heat map and the outline of what is above the pixel threshold, side by side.

    They have the proportions of the image; beneath them stand its name, its score, the decision, and the
    scale of colours, which is one for all heat maps of a detector, see `Decision.colours`. Nothing is written
    of an image without a result.
    """
    result = scored.result
    if result is None or scored.canvas is None:
        return
    decision = result.decision
    shown, heat, _ = in_proportion(scored.canvas, result.canvas_map, None, result.size)
    panels = enlarged(draw_map(shown, heat, heat > decision.pixel_threshold, *decision.colours))
    decided = "bad" if result.bad else "good"
    said = f"{decided}: score {number(result.image)}, threshold {number(decision.threshold)}"
    marks = {"outlined above": decision.pixel_threshold}
    write_atomically(path, _png(captioned(panels, str(scored.key), said, decision.colours, marks)))


def heat_layer(result: Result) -> bytes:
    """A map alone in the colours of `write_heat_map`, a PNG file, to be laid over the image."""
    colours = heat_colours(result.canvas_map, *result.decision.colours)
    return _png(Image.fromarray(np.rint(colours).astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


BASES = "bases.json"
ELSEWHERE = "elsewhere"  # of images that do not lie below the base


@dataclass(frozen=True)
class HeatMapPaths:
    """Paths of heat maps.

    Attributes:
      base: absolute; paths are relative to it.
      folder: the heat maps of images below the base are below it.
    """

    base: Path
    folder: Path

    @classmethod
    def taken(cls, out: Path, base: Path) -> HeatMapPaths:
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


MAX_NAMED = 10  # bad images that a summary names


@dataclass
class Counts:
    """What a call scored, and what it found of an earlier one.

    Attributes:
      good: images that this call scored good.
      bad: those that it scored bad.
      failed: those that it could not judge.
      kept: images that it passed over, because an earlier run scored the same content good.
      kept_bad: those that the earlier run scored bad.
      bad_images: the first bad ones, at most `MAX_NAMED`: those of this call before those that were kept.
    """

    good: int = 0
    bad: int = 0
    failed: int = 0
    kept: int = 0
    kept_bad: int = 0
    bad_images: list[str] = field(default_factory=list)

    @property
    def any_bad(self) -> bool:
        """Whether any image is bad, by this call or by an earlier one."""
        return self.bad + self.kept_bad > 0

    def __str__(self) -> str:
        return f"{self.good} good, {self.bad} bad, {self.failed} could not be judged"

    def told(self) -> list[str]:
        """Lines for people after the first: what was kept, and which images are bad."""
        lines = []
        if both := self.kept + self.kept_bad:
            rows = f"{both} row{'s' * (both > 1)} kept from before"
            lines.append(f"{rows}, and not counted above: {self.kept} good, {self.kept_bad} bad")
        lines += [f"bad: {shown(name)}" for name in self.bad_images]
        if more := self.bad + self.kept_bad - len(self.bad_images):
            lines.append(f"bad: {more} more")
        return lines


class OutputWriter:
    """Takes scored images one by one: a row in the journal, a heat map, a line on a stream.

    Attributes:
      journal: of the rows, if they are kept.
      counts: what was answered; and apart, what an earlier run left of the images that are looked at.
    """

    def __init__(
        self,
        journal: Journal | None,
        maps: HeatMapPaths | None,
        stream: TextIO | None,
        memory: Memory,
        kept: Mapping[Key, Kept],
    ) -> None:
        """`maps` are the places of heat maps, if they are wanted; `memory` is told what files held."""
        self.journal = journal
        self.maps = maps
        self.stream = stream
        self.memory = memory
        bad = [key for key, row in kept.items() if row.bad]
        self.counts = Counts(kept=len(kept) - len(bad), kept_bad=len(bad))
        self._kept_bad = [f"{key} (kept from before)" for key in bad[:MAX_NAMED]]
        self.counts.bad_images = self._kept_bad

    def add(self, scored: ScoredImage | Row) -> None:
        """Answers for an image; raises InputError where an answer cannot be written.

        Of an image that was scored elsewhere there is but the row, and no heat map.
        """
        row = Row.of(scored) if isinstance(scored, ScoredImage) else scored
        if self.maps is not None and isinstance(scored, ScoredImage):
            write_heat_map(self.maps.path(scored.key), scored)  # before the row, which says that all is done
        if self.journal is not None:
            self.journal.add(row)
        if self.stream is not None:
            self._tell(self.stream, row.as_json())
        if isinstance(scored, ScoredImage):
            self.memory.remember(row.path, scored.file.signature, scored.file.digest)
        kind = "failed" if row.decision is None else row.decision
        setattr(self.counts, kind, getattr(self.counts, kind) + 1)
        if kind == "bad" and self.counts.bad <= MAX_NAMED:
            new = self.counts.bad_images[: self.counts.bad - 1]
            self.counts.bad_images = [*new, str(row.key), *self._kept_bad][:MAX_NAMED]

    @staticmethod
    def _tell(stream: TextIO, line: str) -> None:
        try:
            print(line, end="", file=stream, flush=True)
        except OSError as error:
            with contextlib.suppress(OSError):  # what is left in the buffer would fail once more at the exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise InputError(
                f"the answers cannot be written ({error.strerror}); what is done is kept"
            ) from None
