"""Where answers go: files, heat maps, and a stream for who waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TextIO

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.heat_maps import write_heat_map
from vlmad_jax.inspection.journal import Journal, Kept
from vlmad_jax.inspection.judged import Judged, Key
from vlmad_jax.inspection.map_places import MapPlaces
from vlmad_jax.inspection.rows import Row
from vlmad_jax.runtime.contents import DigestStore
from vlmad_jax.runtime.names import printable

MOST_NAMED = 10  # bad images that a summary names


@dataclass
class Counts:
    """What a call judged, and what it found of an earlier one.

    Attributes:
      good: images that this call judged good.
      bad: those that it judged bad.
      failed: those that it could not judge.
      kept: images that it passed over, because an earlier run judged the same content good.
      kept_bad: those that the earlier run judged bad.
      bad_ones: the first bad ones, at most `MOST_NAMED`: those of this call before those that were kept.
    """

    good: int = 0
    bad: int = 0
    failed: int = 0
    kept: int = 0
    kept_bad: int = 0
    bad_ones: list[str] = field(default_factory=list)

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
        lines += [f"bad: {printable(name)}" for name in self.bad_ones]
        if more := self.bad + self.kept_bad - len(self.bad_ones):
            lines.append(f"bad: {more} more")
        return lines


class Answers:
    """Takes judged images one by one: a row in the journal, a heat map, a line on a stream.

    Attributes:
      journal: of the rows, if they are kept.
      counts: what was answered; and apart, what an earlier run left of the images that are looked at.
    """

    def __init__(
        self,
        journal: Journal | None,
        maps: MapPlaces | None,
        stream: TextIO | None,
        memory: DigestStore,
        kept: Mapping[Key, Kept],
    ) -> None:
        """`maps` are the places of heat maps, if they are wanted; `memory` is told what files held."""
        self.journal = journal
        self.maps = maps
        self.stream = stream
        self.memory = memory
        bad = [key for key, row in kept.items() if row.bad]
        self.counts = Counts(kept=len(kept) - len(bad), kept_bad=len(bad))
        self._kept_bad = [f"{key} (kept from before)" for key in bad[:MOST_NAMED]]
        self.counts.bad_ones = self._kept_bad

    def add(self, judged: Judged | Row) -> None:
        """Answers for an image; raises InputError where an answer cannot be written.

        Of an image that was judged elsewhere there is but the row, and no heat map.
        """
        row = Row.of(judged) if isinstance(judged, Judged) else judged
        if self.maps is not None and isinstance(judged, Judged):
            write_heat_map(self.maps.path(judged.key), judged)  # before the row, which says that all is done
        if self.journal is not None:
            self.journal.add(row)
        if self.stream is not None:
            self._tell(self.stream, row.as_json())
        if isinstance(judged, Judged):
            self.memory.add(row.path, judged.file.signature, judged.file.digest)
        kind = "failed" if row.decision is None else row.decision
        setattr(self.counts, kind, getattr(self.counts, kind) + 1)
        if kind == "bad" and self.counts.bad <= MOST_NAMED:
            new = self.counts.bad_ones[: self.counts.bad - 1]
            self.counts.bad_ones = [*new, str(row.key), *self._kept_bad][:MOST_NAMED]

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
