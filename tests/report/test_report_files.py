"""The files of a report have reproducible bytes, and none is written if a name or number is wrong."""

import json
import os
from dataclasses import replace
from pathlib import Path

import matplotlib.figure
import pytest

from tests.report.made_report import EXHIBITS, FIGURE, GALLERY, TABLE, sections
from vlmad_jax.errors import InputError
from vlmad_jax.report.figure_files import to_png, to_svg
from vlmad_jax.report.page import page
from vlmad_jax.report.parts import Column, Figure, Section, Table
from vlmad_jax.report.report_files import write_report
from vlmad_jax.report.table_files import to_csv, to_markdown
from vlmad_jax.runtime.names import printable


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files_and_the_same_bytes_again(tmp_path):
    write_report(tmp_path / "first", "Title", sections(), "Intro.")
    write_report(tmp_path / "second", "Title", sections(), "Intro.")
    first = files_in(tmp_path / "first")
    assert first == files_in(tmp_path / "second")
    metrics = first.pop("metrics.json")
    assert first == {
        "tables/table1.csv": to_csv(TABLE).encode(),
        "tables/table1.md": to_markdown(TABLE).encode(),
        "figures/figure1.png": to_png(FIGURE),
        "figures/figure1.svg": to_svg(FIGURE, "light"),
        "report.html": page("Title", sections(), "Intro.").encode(),
    }
    numbers = json.loads(metrics)
    assert numbers["tables"]["table1"]["rows"] == list(TABLE.rows)
    assert numbers["figures"]["figure1"]["data"] == FIGURE.data
    scores = [exhibit["score"] for exhibit in numbers["galleries"]["gallery1"]["exhibits"]]
    assert scores == [exhibit.score for exhibit in EXHIBITS]


def one(*parts):
    return [Section("all", "All", parts)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (one(TABLE, replace(FIGURE, name="table1")), "table1: two parts of the report have this name"),
        ([*one(TABLE), Section("more", "More", (TABLE,))], "table1: two parts"),
        ([*one(TABLE), *one(FIGURE)], "all: two parts"),
        (
            one(replace(TABLE, name="../table")),
            "'../table': is the name of a file or section",
        ),
        (one(replace(GALLERY, name="Gallery")), "'Gallery': is the name"),
        (one(replace(FIGURE, name="figure1\n")), r"'figure1\n': is the name"),
        ([Section("", "All", ())], "'': is the name"),
        (one(replace(TABLE, rows=(TABLE.rows[0] | {"ms": float("nan")},))), "holds NaN or an infinity"),
        (one(replace(GALLERY, exhibits=(replace(EXHIBITS[0], panels=b"GIF89a"),))), "000.png: its panels"),
    ],
)
def test_an_error_is_named_and_nothing_is_written(tmp_path, wrong, message):
    with pytest.raises(InputError) as caught:
        write_report(tmp_path / "out", "Title", wrong)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_names_of_any_bytes_and_scripts(tmp_path: Path) -> None:
    name = os.fsdecode(b"pi\xe8ce $x$ ") + "\U0001f600"
    table = Table("t", name, (Column("a", name),), ({"a": name},))

    def draw(canvas: matplotlib.figure.Figure) -> None:
        canvas.subplots().set_title(printable(name))

    figure = Figure("f", name, {name: 1}, draw, size=(1, 1))
    write_report(tmp_path, name, [Section("s", name, (table, figure))], intro=name)
    escaped = "pi\\xe8ce $x$ \U0001f600"
    for file in ("report.html", "tables/t.md", "figures/f.svg"):
        assert escaped in (tmp_path / file).read_text(encoding="utf-8"), file
    assert name.encode("utf-8", "surrogateescape") in (tmp_path / "tables/t.csv").read_bytes()
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["figures"]["f"]["data"] == {
        name: 1
    }
