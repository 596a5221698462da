"""A report as one HTML page that needs no network: templates/ has its layout, looks and behaviour."""

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
from vlmad_jax.runtime.names import as_text

_TEMPLATES = {Table: "table.html", Figure: "figure.html", Gallery: "gallery.html"}
_FILTERS = {"method": "methods", "category": "categories", "defect": "defects", "outcome": "outcomes"}


def page(title: str, sections: Sequence[Section], intro: str = "") -> str:
    """The HTML of a report; `intro` stands above its sections, paragraphs apart by an empty line.

    Tables can be sorted, galleries filtered, and the page be light or dark. A number stands in its element's
    `data-value` with all its digits. Everything given is shown as text, markup too.

    Raises InputError for an exhibit whose panels are not a PNG, JPEG or WebP file.
    """
    template = _environment().get_template("page.html")
    return as_text(template.render(title=title, sections=sections, intro=intro))


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
    """Neighbouring columns of one group, under its heading; the first, which does not scroll, is alone."""
    first, others = table.columns[0], groupby(table.columns[1:], attrgetter("group"))
    return [(first.group, [first]), *((group, list(columns)) for group, columns in others)]


def _starts(table: Table) -> set[str]:
    """Keys of the columns with which a group starts, or ends."""
    return {right.key for left, right in pairwise(table.columns) if left.group != right.group}


def _classes(table: Table) -> dict[str, str]:
    """Of the cells of each column, by its key."""
    starts, found = _starts(table), {}
    for column in table.columns:
        names = {"numeric": is_numeric(table, column), "start": column.key in starts}
        found[column.key] = " ".join(name for name, holds in names.items() if holds)
    return found


def _split(table: Table) -> list[tuple[str, Sequence]]:
    """The rows that are sorted, and those that stay at the foot."""
    body = len(table.rows) - table.summary
    return [("tbody", table.rows[:body]), ("tfoot", table.rows[body:])]


def _drawn(figure: Figure, theme: Theme) -> str:
    return _data_uri("image/svg+xml", to_svg(figure, theme))


def _image(exhibit: Exhibit) -> dict[str, str | int]:
    """Attributes of an exhibit's image, its size among them so that the page need not wait for it."""
    try:
        with Image.open(io.BytesIO(exhibit.panels), formats=("PNG", "JPEG", "WEBP")) as image:
            kind, (width, height) = f"image/{str(image.format).lower()}", image.size
    except UnidentifiedImageError as error:
        raise InputError(f"{exhibit.path}: its panels are not a PNG, JPEG or WebP file") from error
    return {"src": _data_uri(kind, exhibit.panels), "width": width, "height": height}


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
