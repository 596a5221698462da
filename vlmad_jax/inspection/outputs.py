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
from vlmad_jax.report import add_caption, draw_map, enlarge, format_number, heat_colours, restore_proportions
from vlmad_jax.runtime.contents import DigestStore
from vlmad_jax.runtime.files import write_atomically, write_json
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.run_folder import read_json


def write_heat_map(path: Path, scored: ScoredImage) -> None:
    """Write the image, its heat map and the outline of the regions above the pixel threshold, side by side.

    The panels have the proportions of the image. The caption gives its name, its score, the decision and the
    colour scale, which is the same for all heat maps of a detector, see `Decision.colours`. An image without
    a result is skipped.
    """
    result = scored.result
    if result is None or scored.canvas is None:
        return
    decision = result.decision
    image, heat, _ = restore_proportions(scored.canvas, result.canvas_map, None, result.size)
    panels = enlarge(draw_map(image, heat, heat > decision.pixel_threshold, *decision.colours))
    decided = "bad" if result.bad else "good"
    caption = f"{decided}: score {format_number(result.image)}, threshold {format_number(decision.threshold)}"
    marks = {"outlined above": decision.pixel_threshold}
    write_atomically(path, _png(add_caption(panels, str(scored.key), caption, decision.colours, marks)))


def heat_layer(result: Result) -> bytes:
    """Return the heat map alone as a PNG file, in the colours of `write_heat_map`."""
    colours = heat_colours(result.canvas_map, *result.decision.colours)
    return _png(Image.fromarray(np.rint(colours).astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


MAX_NAMED = 10  # number of bad images that a summary names
BASES = "bases.json"
ELSEWHERE = "elsewhere"  # folder for the maps of images that do not lie below the base


@dataclass(frozen=True)
class HeatMapPaths:
    """The paths of heat maps.

    Attributes:
      base: absolute path of the folder that images lie below.
      folder: folder that the heat maps of these images lie below.
    """

    base: Path
    folder: Path

    @classmethod
    def below(cls, out: Path, base: Path) -> HeatMapPaths:
        """Return the paths for a base, which are the same in every run and differ from those of other bases.

        Raises:
          InputError: the list of bases is damaged or cannot be written.
        """
        listed = out / MAPS / BASES
        folders: dict[str, str] = read_json(listed) if listed.exists() else {}
        if str(base) not in folders:
            folders[str(base)] = _free(folders, base.name) if folders else ""
            write_json(listed, folders)
        return cls(base, out / MAPS / folders[str(base)])

    def path(self, key: Key) -> Path:
        """Return the path of an image's heat map: the image's path below the base with ".png" added."""
        place = absolute(key.path)
        below = place.is_relative_to(self.base)
        start = self.base if below else Path(place.anchor)
        path = self.folder.joinpath(*([] if below else [ELSEWHERE]), place.relative_to(start))
        if key.frame is not None:
            path = path / f"{key.frame:06d}"
        return path.with_name(path.name + ".png")


def _free(folders: dict[str, str], name: str) -> str:
    """Return a folder name that no other base uses and that does not exist in the first base."""
    first = Path(next(iter(folders)))
    names = itertools.chain(
        [name or "root"], (f"{name}-{format_number}" for format_number in itertools.count(2))
    )
    return next(x for x in names if x not in folders.values() and not os.path.lexists(first / x))


def common_base(sources: Sequence[str]) -> Path:
    """Return the deepest folder that holds all the sources; a single folder is its own base."""
    folders = [absolute(source) if Path(source).is_dir() else absolute(source).parent for source in sources]
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # on different drives of Windows
        return Path(folders[0].anchor)


def absolute(path: str | Path) -> Path:
    """Return an absolute path; it is resolved up to the last "..", and links after that stay."""
    path = Path(path).absolute()
    if ".." not in path.parts:
        return path
    end = len(path.parts) - path.parts[::-1].index("..")
    return Path(*path.parts[:end]).resolve().joinpath(*path.parts[end:])


@dataclass
class Counts:
    """The decisions of a call, and those of an earlier run whose rows it kept.

    Attributes:
      good: number of images that this call found good.
      bad: number of images that this call found bad.
      failed: number of images that this call could not score.
      kept: number of images that an earlier run found good, and that have not changed.
      kept_bad: number of images that an earlier run found bad, and that have not changed.
      bad_images: the first bad images, at most `MAX_NAMED`, those of this call first.
    """

    good: int = 0
    bad: int = 0
    failed: int = 0
    kept: int = 0
    kept_bad: int = 0
    bad_images: list[str] = field(default_factory=list)

    @property
    def any_bad(self) -> bool:
        """Whether this call or an earlier run found an image bad."""
        return self.bad + self.kept_bad > 0

    def __str__(self) -> str:
        return f"{self.good} good, {self.bad} bad, {self.failed} could not be scored"

    def lines(self) -> list[str]:
        """Return the lines of a summary after the first: the rows that were kept, and the bad images."""
        lines = []
        if both := self.kept + self.kept_bad:
            rows = f"{both} row{'s' * (both > 1)} kept from an earlier run"
            lines.append(f"{rows} and not counted above: {self.kept} good, {self.kept_bad} bad")
        lines += [f"bad: {printable(name)}" for name in self.bad_images]
        if more := self.bad + self.kept_bad - len(self.bad_images):
            lines.append(f"bad: {more} more")
        return lines


class OutputWriter:
    """Writes the outputs of images one by one: a heat map, a row in the journal, a line on a stream.

    Attributes:
      journal: takes the rows, if there is one.
      counts: the decisions so far, and those of an earlier run.
    """

    def __init__(
        self,
        journal: Journal | None,
        maps: HeatMapPaths | None,
        stream: TextIO | None,
        memory: DigestStore,
        kept: Mapping[Key, Kept],
    ) -> None:
        """Create a writer.

        Args:
          journal: takes the rows; None keeps no rows.
          maps: paths of heat maps; None writes no heat maps.
          stream: takes a line of JSON for each image; None writes no lines.
          memory: remembers the digests of files.
          kept: rows of an earlier run that stay.
        """
        self.journal = journal
        self.maps = maps
        self.stream = stream
        self.memory = memory
        bad = [key for key, row in kept.items() if row.bad]
        self.counts = Counts(kept=len(kept) - len(bad), kept_bad=len(bad))
        self._kept_bad = [f"{key} (from an earlier run)" for key in bad[:MAX_NAMED]]
        self.counts.bad_images = self._kept_bad

    def add(self, scored: ScoredImage | Row) -> None:
        """Write the outputs of an image; an image that was scored elsewhere comes as a row, without a map.

        Raises:
          InputError: an output cannot be written.
        """
        row = Row.of(scored) if isinstance(scored, ScoredImage) else scored
        if self.maps is not None and isinstance(scored, ScoredImage):
            write_heat_map(
                self.maps.path(scored.key), scored
            )  # before the row, which marks the image as done
        if self.journal is not None:
            self.journal.add(row)
        if self.stream is not None:
            self._print(self.stream, row.as_json())
        if isinstance(scored, ScoredImage):
            self.memory.add(row.path, scored.file.signature, scored.file.digest)
        kind = "failed" if row.decision is None else row.decision
        setattr(self.counts, kind, getattr(self.counts, kind) + 1)
        if kind == "bad" and self.counts.bad <= MAX_NAMED:
            new = self.counts.bad_images[: self.counts.bad - 1]
            self.counts.bad_images = [*new, str(row.key), *self._kept_bad][:MAX_NAMED]

    @staticmethod
    def _print(stream: TextIO, line: str) -> None:
        try:
            print(line, end="", file=stream, flush=True)
        except OSError as error:
            with contextlib.suppress(OSError):  # else the rest of the buffer would fail again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise InputError(
                f"results cannot be written to standard output ({error.strerror}); finished rows are kept"
            ) from None
