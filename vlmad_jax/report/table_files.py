"""Tables of a report as CSV with all digits, and as Markdown with rounded numbers."""

import json

from vlmad_jax.report.parts import Column, Table, Value
from vlmad_jax.report.table import markdown_grid
from vlmad_jax.runtime.files import csv_line
from vlmad_jax.runtime.names import escape_bytes


def exact(value: Value) -> str:
    """Return a value with all its digits, as JSON writes it; an undefined value is empty.

    >>> [exact(value) for value in (0.1 + 0.2, 4, "all", None)]
    ['0.30000000000000004', '4', 'all', '']
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def is_numeric(table: Table, column: Column) -> bool:
    """Return whether a column holds any number and is therefore aligned to the right."""
    if column.digits is not None:
        return True
    return any(isinstance(row[column.key], int | float) for row in table.rows)


def to_csv(table: Table) -> str:
    """Return a table as CSV: the keys of the columns, then one line per row. Undefined values are empty."""
    rows = [[exact(row[column.key]) for column in table.columns] for row in table.rows]
    return "".join(map(csv_line, [[column.key for column in table.columns], *rows]))


def to_markdown(table: Table) -> str:
    """Return the title, the table with rounded values, and the note as Markdown.

    The heading of a column starts with that of its group, for example "pixel AUROC".
    """
    cells = [[f"{column.group} {column.heading}".strip() for column in table.columns]]
    cells += [[column.format(row[column.key]) for column in table.columns] for row in table.rows]
    left = [n for n, column in enumerate(table.columns) if not is_numeric(table, column)]
    grid = markdown_grid([[_one_cell(text) for text in row] for row in cells], left)
    return escape_bytes("\n\n".join(part for part in (f"# {table.title}", grid, table.note) if part) + "\n")


def _one_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
