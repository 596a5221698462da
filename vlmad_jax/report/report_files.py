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

    A table is written as NAME.csv and NAME.md, a figure as NAME.png and NAME.svg. The same report always
    gives the same bytes.

    Raises:
      InputError: A name has characters other than a-z, 0-9 and "_", two parts or two sections share a name,
        or a number is NaN or infinite. Nothing is written then.
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
            raise InputError(
                f"{name!r}: is the name of a file or section of the report; use only a-z, 0-9 and _"
            )
        if name in seen:
            raise InputError(f"{name}: two parts of the report have this name; give them different names")
        seen.add(name)
