"""The files of a report: numbers, tables, figures and the page."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vlmad_jax.errors import InputError
from vlmad_jax.report.figure_files import to_png, to_svg
from vlmad_jax.report.page import page
from vlmad_jax.report.parts import Figure, Section, Table, contents
from vlmad_jax.report.table_files import to_csv, to_markdown
from vlmad_jax.runtime.files import write_atomically, write_json


def write_report(out: Path, title: str, sections: Sequence[Section], intro: str = "") -> None:
    """Write `metrics.json`, `tables/`, `figures/` and `report.html` to the folder `out`.

    The same report makes the same bytes. A table is NAME.csv and NAME.md, a figure NAME.png and NAME.svg.

    Raises InputError, before anything is written, for a name that is not of a-z, 0-9 and "_" alone or that
    two parts or two sections share, and for numbers that are NaN or infinite.
    """
    parts = [part for section in sections for part in section.parts]
    _check_names(section.name for section in sections)
    _check_names(part.name for part in parts)
    files: dict[str, str | bytes] = {}
    for part in parts:
        if isinstance(part, Table):
            files |= {f"tables/{part.name}.csv": to_csv(part), f"tables/{part.name}.md": to_markdown(part)}
        elif isinstance(part, Figure):
            files[f"figures/{part.name}.png"] = to_png(part)
            files[f"figures/{part.name}.svg"] = to_svg(part, "light")
    files["report.html"] = page(title, sections, intro)
    write_json(out / "metrics.json", contents(sections))
    for name, content in files.items():
        write_atomically(out / name, content)


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not re.fullmatch("[a-z0-9_]+", name):
            raise InputError(f"{name!r} names a file or a place of the report; use a-z, 0-9 and _ alone")
        if name in seen:
            raise InputError(f"{name}: two parts of the report have this name; give each its own")
        seen.add(name)
