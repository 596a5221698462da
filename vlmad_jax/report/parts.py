"""What a report is made of: sections that hold tables, figures and galleries, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.figure

from vlmad_jax.errors import InputError

Value = str | float | int | None
Outcome = Literal["found", "missed", "passed", "false alarm"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      key: of its values in the rows.
      heading: for people.
      digits: after the point; None for text and whole numbers.
      group: a heading above neighbouring columns that share it; "" for none.
    """

    key: str
    heading: str
    digits: int | None = None
    group: str = ""

    def shown(self, value: Value) -> str:
        """A value as people read it; "-" for what is undefined.

        >>> Column("auroc", "AUROC", digits=3).shown(0.91249)
        '0.912'
        """
        if value is None:
            return "-"
        return str(value) if self.digits is None else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """A table of text and numbers.

    Attributes:
      name: of its files, "table1".
      title: in one line.
      columns: the first names the row.
      rows: values by the columns' keys, numbers with all their digits, None where undefined.
      note: how the figures are defined; paragraphs apart by an empty line.
      summary: how many of the last rows are means of those above, which sorting leaves at the foot.

    Raises:
      InputError: a row lacks a column or has one too many.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Value], ...]
    note: str = ""
    summary: int = 0

    def __post_init__(self) -> None:
        keys = {column.key for column in self.columns}
        for row in self.rows:
            if row.keys() != keys:
                wrong = ", ".join(sorted(row.keys() ^ keys))
                raise InputError(f"table {self.name}: a row and the columns differ in {wrong}")


@dataclass(frozen=True, eq=False)
class Figure:
    """An image of numbers.

    Attributes:
      name: of its files, "figure3".
      title: in one line.
      data: what is drawn, of dicts, lists, text, numbers and None.
      draw: draws it in the colours of matplotlib's current style, which a dark page exchanges for its own.
      note: what is to be seen.
      size: width and height in inches.
    """

    name: str
    title: str
    data: Any
    draw: Callable[[matplotlib.figure.Figure], None]
    note: str = ""
    size: tuple[float, float] = (7.0, 4.0)


@dataclass(frozen=True)
class Exhibit:
    """An image of a gallery.

    Attributes:
      method: which scored it, for people.
      category: what it shows.
      defect: "good" or the defect's name.
      outcome: what the method made of it at its threshold.
      score: its image score.
      path: below the folder of the data set.
      panels: a PNG, JPEG or WebP file: the image, its heat map and the true outline, side by side.
    """

    method: str
    category: str
    defect: str
    outcome: Outcome
    score: float
    path: str
    panels: bytes


@dataclass(frozen=True)
class Gallery:
    """Images to look through."""

    name: str
    title: str
    exhibits: tuple[Exhibit, ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading of its own."""

    name: str
    title: str
    parts: Sequence[Table | Figure | Gallery]
    text: str = ""


def contents(sections: Sequence[Section]) -> dict[str, Any]:
    """All numbers of a report, for `metrics.json`: tables, data of figures, scores of galleries, by name."""
    return {
        "tables": {part.name: _described(part, rows=list(part.rows)) for part in _parts(sections, Table)},
        "figures": {part.name: _described(part, data=part.data) for part in _parts(sections, Figure)},
        "galleries": {
            part.name: _described(part, exhibits=[_numbers(exhibit) for exhibit in part.exhibits])
            for part in _parts(sections, Gallery)
        },
    }


def _parts(sections: Sequence[Section], kind: type) -> Iterator[Any]:
    return (part for section in sections for part in section.parts if isinstance(part, kind))


def _described(part: Table | Figure | Gallery, **data: Any) -> dict[str, Any]:
    return {"title": part.title, **data}


def _numbers(exhibit: Exhibit) -> dict[str, Value]:
    return {name: value for name, value in vars(exhibit).items() if name != "panels"}
