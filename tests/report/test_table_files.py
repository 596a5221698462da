"""Tables as CSV with all digits, and as Markdown, character by character."""

import csv
import io

import numpy as np

from tests.report.made_report import TABLE
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.report.table_files import exact, to_csv, to_markdown


def test_csv_has_all_digits_and_nothing_where_undefined():
    assert to_csv(TABLE) == (
        "method,shots,image_auroc,pixel_auroc,pixel_aupro,ms\n"
        "winclip,0,0.30000000000000004,,0.9,13.65\n"
        "patchcore,16,0.3333333333333333,0.5,,9.0\n"
        "padim,4,0.25,-1e-09,0.125,101.25\n"
        "all | sorts,all,1.0,0.75,0.0625,1000000.0\n"
        "mean,,0.47,0.4166,0.3625,\n"
    )


def test_csv_reads_back_whatever_the_text_holds():
    columns = (Column("name", "name"), Column("value", "value", digits=2))
    values = np.random.default_rng(0).standard_normal(50)  # NumPy's float64 is a float, written like one
    names = ['a "quoted", name', "two\nlines", "", *map(str, range(47))]
    rows = tuple({"name": name, "value": value} for name, value in zip(names, values, strict=True))
    header, *read = csv.reader(io.StringIO(to_csv(Table("t", "", columns, rows)), newline=""))
    assert header == ["name", "value"]
    assert [name for name, _ in read] == names
    assert [float(value) for _, value in read] == list(values)


def test_markdown_shows_what_people_read():
    expected = """\
# Methods under one protocol

| method       | shots | image AUROC | pixel AUROC | pixel AUPRO |  ms/image |
|--------------|------:|------------:|------------:|------------:|----------:|
| winclip      |     0 |       0.300 |           - |       0.900 |      13.7 |
| patchcore    |    16 |       0.333 |       0.500 |           - |       9.0 |
| padim        |     4 |       0.250 |      -0.000 |       0.125 |     101.2 |
| all \\| sorts |   all |       1.000 |       0.750 |       0.062 | 1000000.0 |
| mean         |     - |       0.470 |       0.417 |       0.362 |         - |

Metrics are fractions.

Times are in milliseconds.
"""
    assert to_markdown(TABLE) == expected


def test_columns_of_text_end_on_the_left_and_those_of_numbers_on_the_right():
    columns = (Column("count", "n"), Column("why", "why"), Column("auroc", "AUROC", digits=3))
    table = Table("t", "Title", columns, ({"count": 12, "why": "no\nmask", "auroc": None},))
    assert to_markdown(table).splitlines()[2:] == [
        "|  n | why     | AUROC |",
        "|---:|---------|------:|",
        "| 12 | no mask |     - |",
    ]


def test_a_number_is_written_as_json_writes_it():
    assert [exact(value) for value in (np.float64(0.1), 1e-7, 10**20)] == ["0.1", "1e-07", "1" + 20 * "0"]
