"""A table of a report as CSV, with all digits, and as Markdown, as people read it."""

import json

from vlmad_jax.report.parts import Column, Table, Value
from vlmad_jax.report.table import markdown_grid
from vlmad_jax.runtime.files import csv_line
from vlmad_jax.runtime.names import as_text


def exact(value: Value) -> str:
    """A value for a machine: a number with all its digits, as JSON has it; nothing for what is undefined.

    >>> [exact(value) for value in (0.1 + 0.2, 4, "all", None)]
    ['0.30000000000000004', '4', 'all', '']
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def is_numeric(table: Table, column: Column) -> bool:
    """Whether a column holds numbers, among others perhaps, and so ends on the right."""
    if column.digits is not None:
        return True
    return any(isinstance(row[column.key], int | float) for row in table.rows)


def to_csv(table: Table) -> str:
    """A line with the columns' keys, then one a row; an empty cell is undefined."""
    rows = [[exact(row[column.key]) for column in table.columns] for row in table.rows]
    return "".join(map(csv_line, [[column.key for column in table.columns], *rows]))


def to_markdown(table: Table) -> str:
    """The title, the table with values as people read them, and the note.

    A column of a group has both headings, "pixel AUROC".
    """
    cells = [[f"{column.group} {column.heading}".strip() for column in table.columns]]
    cells += [[column.shown(row[column.key]) for column in table.columns] for row in table.rows]
    left = [n for n, column in enumerate(table.columns) if not is_numeric(table, column)]
    grid = markdown_grid([[_one_cell(text) for text in row] for row in cells], left)
    return as_text("\n\n".join(part for part in (f"# {table.title}", grid, table.note) if part) + "\n")


def _one_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
