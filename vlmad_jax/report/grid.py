"""A table in Markdown whose columns line up, so that a terminal shows it as well."""

from collections.abc import Collection, Sequence


def markdown_grid(cells: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """The lines of a table: the first row of cells is the heading; columns not in `left` end on the right.

    >>> print(markdown_grid([["method", "AP"], ["coop", "0.854"]]))
    | method |    AP |
    |--------|------:|
    | coop   | 0.854 |
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(_aligned(row, widths, left)) + " |" for row in cells]
    ends = ["-" if n in left else ":" for n in range(len(widths))]
    rule = "|" + "|".join(f"-{'-' * width}{end}" for width, end in zip(widths, ends, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _aligned(row: Sequence[str], widths: Sequence[int], left: Collection[int]) -> list[str]:
    return [
        cell.ljust(width) if n in left else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
