"""Where answers go: files, heat maps, and a stream for who waits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from vlmad_jax.contents import Memory
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.heat_maps import write_heat_map
from vlmad_jax.inspection.journal import Journal, Kept
from vlmad_jax.inspection.judged import Judged
from vlmad_jax.inspection.rows import Row


@dataclass
class Counts:
    """How many pictures were good and bad, and how many could not be judged."""

    good: int = 0
    bad: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return f"{self.good} good, {self.bad} bad, {self.failed} could not be judged"


class Answers:
    """Takes judged images one by one: a row in the journal, a heat map, a line on a stream.

    Attributes:
      journal: of the rows, if they are kept.
      counts: what was answered; and what an earlier run left of the images that are looked at.
    """

    def __init__(
        self,
        journal: Journal | None,
        save_maps: bool,
        stream: TextIO | None,
        memory: Memory,
        kept: Iterable[Kept],
    ) -> None:
        """`memory` is told what files held, and `kept` is counted."""
        self.journal = journal
        self.maps = journal.out if journal is not None and save_maps else None
        self.stream = stream
        self.memory = memory
        self.counts = Counts()
        for row in kept:
            self._count("bad" if row.bad else "good")

    def add(self, judged: Judged | Row) -> None:
        """Answers for an image; raises InputError where an answer cannot be written.

        Of an image that was judged elsewhere there is but the row, and no heat map.
        """
        row = Row.of(judged) if isinstance(judged, Judged) else judged
        if self.maps is not None and isinstance(judged, Judged):
            write_heat_map(self.maps, judged)  # before the row, which says that all is done
        if self.journal is not None:
            self.journal.add(row)
        if self.stream is not None:
            self._tell(self.stream, row.as_json())
        if isinstance(judged, Judged):
            self.memory.remember(row.path, judged.file.signature, judged.file.digest)
        self._count("failed" if row.decision is None else row.decision)

    def _count(self, kind: str) -> None:
        setattr(self.counts, kind, getattr(self.counts, kind) + 1)

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
