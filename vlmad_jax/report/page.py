"""A report as one HTML page that needs no network. Its layout, style and scripts are in templates/."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from itertools import groupby, pairwise
from operator import attrgetter

import jinja2
from PIL import Image, UnidentifiedImageError

from vlmad_jax.errors import InputError
from vlmad_jax.report.figure_files import Theme, to_svg
from vlmad_jax.report.parts import Column, Exhibit, Figure, Gallery, Section, Table
from vlmad_jax.report.table_files import exact, is_numeric
from vlmad_jax.runtime.names import escape_bytes

_TEMPLATES = {Table: "table.html", Figure: "figure.html", Gallery: "gallery.html"}
_FILTERS = {"method": "methods", "category": "categories", "defect": "defects", "outcome": "outcomes"}


def page(title: str, sections: Sequence[Section], intro: str = "") -> str:
    """Return the HTML of a report.

    Readers can sort tables, filter galleries, and switch between a light and a dark page. The attribute
    `data-value` of an element holds its number with all digits. Markup in texts is escaped.

    Args:
      title: The title of the page.
      sections: The sections of the report.
      intro: A text above the sections; an empty line separates paragraphs.

    Raises:
      InputError: The panels of an exhibit are not a PNG, JPEG or WebP file.
    """
    template = _environment().get_template("page.html")
    return escape_bytes(template.render(title=title, sections=sections, intro=intro))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vlmad_jax.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    functions = (_groups, _starts, _classes, _split, _drawn, _image, _template_of)
    environment.globals.update({function.__name__[1:]: function for function in functions})
    environment.globals.update(exact=exact, filters=_FILTERS)
    return environment


def _template_of(part: Table | Figure | Gallery) -> str:
    return _TEMPLATES[type(part)]


def _groups(table: Table) -> list[tuple[str, list[Column]]]:
    """Return neighbouring columns by the heading of their group. The first column is its own group."""
    first, others = table.columns[0], groupby(table.columns[1:], attrgetter("group"))
    return [(first.group, [first]), *((group, list(columns)) for group, columns in others)]


def _starts(table: Table) -> set[str]:
    """Return the keys of the columns at which the group changes."""
    return {right.key for left, right in pairwise(table.columns) if left.group != right.group}


def _classes(table: Table) -> dict[str, str]:
    """Return the CSS classes of each column's cells by its key."""
    starts, found = _starts(table), {}
    for column in table.columns:
        names = {"numeric": is_numeric(table, column), "start": column.key in starts}
        found[column.key] = " ".join(name for name, holds in names.items() if holds)
    return found


def _split(table: Table) -> list[tuple[str, Sequence]]:
    """Return the rows that can be sorted, and the summary rows that stay at the bottom."""
    body = len(table.rows) - table.summary
    return [("tbody", table.rows[:body]), ("tfoot", table.rows[body:])]


def _drawn(figure: Figure, theme: Theme) -> str:
    return _data_uri("image/svg+xml", to_svg(figure, theme))


def _image(exhibit: Exhibit) -> dict[str, str | int]:
    """Return the attributes of an exhibit's image. The size lets the browser lay out the page at once."""
    try:
        with Image.open(io.BytesIO(exhibit.panels), formats=("PNG", "JPEG", "WEBP")) as image:
            kind, (width, height) = f"image/{str(image.format).lower()}", image.size
    except UnidentifiedImageError as error:
        raise InputError(
            f"{exhibit.path}: its panels are in another format; give a PNG, JPEG or WebP file"
        ) from error
    return {"src": _data_uri(kind, exhibit.panels), "width": width, "height": height}


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
