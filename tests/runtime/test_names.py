"""Any name on disk can be compared, printed and stored."""

import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest

from vlmad_jax.inspection.journal import Row
from vlmad_jax.metrics import METRIC_NAMES
from vlmad_jax.report import ScoreRow, metrics_table, read_scores_csv, write_scores_csv
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.files import utf8_path, write_json
from vlmad_jax.runtime.names import (
    allow_any_name_in_output,
    decode_name,
    escape_surrogates,
    lookup_name,
    one_line,
    printable,
)
from vlmad_jax.runtime.run_folder import read_json

LATIN_1 = os.fsdecode(b"pi\xe8ce")


def test_one_name_in_two_spellings() -> None:
    nfc, nfd = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    assert lookup_name(nfd, {nfc: 1, "e": 2}) == lookup_name(nfc, {nfd: 1, "e": 2}) == 1
    assert [lookup_name(name, {nfc: 1, nfd: 2}) for name in (nfc, nfd, "e")] == [1, 2, None]
    ambiguous = "\u1e69"  # s with two dots; in two orders of its parts that are neither NFC nor NFD
    parts = {"s\u0323\u0307": 1, "s\u0307\u0323": 2}
    assert lookup_name(ambiguous, parts) is None


def test_names_as_text() -> None:
    assert decode_name(LATIN_1) == "pièce"
    assert decode_name(unicodedata.normalize("NFD", "pièce")) == "pièce"
    assert one_line(f"a\nb\x1b[31m\u2028{LATIN_1}é😀") == f"a\\nb\\x1b[31m\\u2028{LATIN_1}é😀"
    assert printable(f"{LATIN_1}\n") == "pi\\xe8ce\\n"
    assert fingerprint([LATIN_1]) == fingerprint([b"pi\xe8ce"])
    row = dict.fromkeys(METRIC_NAMES)
    assert "cup\\nlid" in metrics_table({"cup\nlid": row}, row)


def test_json_restores_names(tmp_path: Path) -> None:
    value = {LATIN_1: ["é😀", "\n", "\ud83d"]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    assert read_json(tmp_path / "a.json") == value
    assert "é😀" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert escape_surrogates('"é"') == '"é"'


class Terminal(io.TextIOWrapper):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "encoding", "out"),
    [
        (io.TextIOWrapper, "utf-8", b"pi\xe8ce \xc3\xa9"),
        (Terminal, "utf-8", b"pi\\xe8ce \xc3\xa9"),
        (io.TextIOWrapper, "ascii", b"pi\xe8ce \\xe9"),
        (Terminal, "ascii", b"pi\\xe8ce \\xe9"),
    ],
)
def test_printing(monkeypatch: pytest.MonkeyPatch, kind: type, encoding: str, out: bytes) -> None:
    streams = [kind(io.BytesIO(), encoding=encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    allow_any_name_in_output()
    for stream in streams:
        print(f"{LATIN_1} é", file=stream, end="", flush=True)
    assert streams[0].buffer.getvalue() == out
    assert streams[1].buffer.getvalue() == out.replace(b"\xe8", b"\\xe8")


def test_a_path_for_libraries_that_need_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / LATIN_1 / "a"
    with utf8_path(folder / "params") as plain:
        assert str(plain).isascii()
        plain.write_text("kept")
    assert (folder / "params").read_text() == "kept"
    assert not plain.exists()
    with utf8_path(tmp_path / "params") as plain:
        assert plain == tmp_path / "params"


def test_any_line_break_in_a_name_stays_within_its_row(tmp_path: Path) -> None:
    rows = [
        ScoreRow(f"a{end}b", "c", "d", 1, 0.5, LATIN_1) for end in ("\r", "\n", "\r\n", '"', ",", "\u2028")
    ]
    write_scores_csv(tmp_path / "scores.csv", rows)
    assert read_scores_csv(tmp_path / "scores.csv") == rows
    text = (tmp_path / "scores.csv").read_bytes()
    assert text.startswith(b"path,category,defect,label,score,error\n")
    assert b"\r\n" not in text.replace(b"a\r\nb", b"")
    assert Row("a\rb", error="x").as_csv() == '"a\rb",,,,,,,x,\n'
