"""The parts of a report as data: sections with tables, figures and galleries."""

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
      key: The key of its values in the rows.
      heading: The heading that readers see.
      digits: The number of digits after the decimal point; None for text and whole numbers.
      group: A heading above neighbouring columns that share it; "" for none.
    """

    key: str
    heading: str
    digits: int | None = None
    group: str = ""

    def format(self, value: Value) -> str:
        """Return a value as readers see it; "-" is undefined.

        >>> Column("auroc", "AUROC", digits=3).format(0.91249)
        '0.912'
        """
        if value is None:
            return "-"
        return str(value) if self.digits is None else f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """A table of text and numbers.

    Attributes:
      name: The name of its files, for example "table1".
      title: The title, one line.
      columns: The columns; the first one names the row.
      rows: Values by the keys of the columns: numbers with all their digits, None where undefined.
      note: The definitions of the numbers; an empty line separates paragraphs.
      summary: The number of last rows that are means of the rows above. Sorting keeps them at the bottom.

    Raises:
      InputError: The keys of a row are not those of the columns.
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
                raise InputError(
                    f"table {self.name}: a row and the columns differ in {wrong}; give each row all columns"
                )


@dataclass(frozen=True, eq=False)
class Figure:
    """A plot.

    Attributes:
      name: The name of its files, for example "figure3".
      title: The title, one line.
      data: The plotted data: dicts, lists, text, numbers and None.
      draw: Draws the plot in the colours of matplotlib's current style, which a dark page replaces.
      note: A description of the plot.
      size: The width and height in inches.
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
      method: The name of the method that scored it.
      category: The category of the image.
      defect: "good" or the name of the defect.
      outcome: The result of the method's decision at its threshold.
      score: The image score.
      path: The path below the folder of the data set.
      panels: A PNG, JPEG or WebP file with the image, its heat map and the true outline side by side.
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
    """A collection of images that readers can filter and sort."""

    name: str
    title: str
    exhibits: tuple[Exhibit, ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report with its own heading."""

    name: str
    title: str
    parts: Sequence[Table | Figure | Gallery]
    text: str = ""


def contents(sections: Sequence[Section]) -> dict[str, Any]:
    """Return all numbers of a report for `metrics.json`: tables, data of figures and scores of galleries."""
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
