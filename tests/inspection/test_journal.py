"""Rows on disk are whole whatever happens, and a run goes on where it was stopped."""

import csv
import json
import resource
from pathlib import Path

import pytest

from vlmad_jax import InputError
from vlmad_jax.inspection import Box
from vlmad_jax.inspection.journal import COLUMNS, Journal, Kept, Row, read_row
from vlmad_jax.inspection.stream import Key

CONFIG = {"detector": "abc"}
GOOD = Row("a.png", None, 0.25, 0.1, "good", (), 3.5)
BAD = Row('odd, "name"\n.mp4', 7, 0.75, 0.9, "bad", (Box(1, 2, 3, 4, 0.5), Box(5, 6, 7, 8, 0.25)), 4.5)
BROKEN = Row("c.png", error="does not decode (é)")


def rows(out: Path) -> list[dict]:
    """The table of scores, which has to agree with the JSON lines, as that of boxes has."""
    table, boxes = (table_of(out / name) for name in ("scores.csv", "boxes.csv"))
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert [row["path"] for row in table] == [line["path"] for line in lines]
    assert all(tuple(line) == COLUMNS for line in lines)
    assert [row["boxes"] for row in table] == [str(len(x["boxes"])) if x["score"] else "" for x in lines]
    expected = [
        {"path": line["path"], "frame": line["frame"], **box} for line in lines for box in line["boxes"] or ()
    ]
    assert boxes == [{k: "" if x is None else str(x) for k, x in box.items()} for box in expected]
    return table


def table_of(path: Path) -> list[dict]:
    """A table as a spreadsheet opens it: UTF-8 after a byte order mark."""
    assert path.read_bytes().count(b"\xef\xbb\xbf") == path.read_bytes().startswith(b"\xef\xbb\xbf") == 1
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_both_files_say_the_same(tmp_path: Path):
    with Journal(tmp_path / "out", CONFIG, resume=True) as journal:
        for row in (GOOD, BAD, BROKEN):
            journal.add(row)
    table = rows(tmp_path / "out")
    assert table[0] == {
        "path": "a.png",
        "frame": "",
        "score": "0.25",
        "probability": "0.1",
        "decision": "good",
        "boxes": "0",
        "milliseconds": "3.5",
        "error": "",
        "content": "",
    }
    assert table_of(tmp_path / "out/boxes.csv")[1] == {
        "path": BAD.path, "frame": "7", "x": "5", "y": "6", "width": "7", "height": "8", "peak": "0.25",
    }  # fmt: skip
    assert (table[2]["decision"], table[2]["boxes"], table[2]["error"]) == ("", "", BROKEN.error)
    lines = (tmp_path / "out/scores.jsonl").read_text().splitlines()
    assert [read_row(line) for line in lines] == [GOOD, BAD, BROKEN]


def test_names_that_are_no_text_survive(tmp_path: Path):
    row = Row(b"\xff\xfe.png".decode("utf-8", "surrogateescape"), None, 0.5, 0.5, "bad", BAD.boxes, 1.0)
    with Journal(tmp_path, CONFIG, resume=True) as journal:
        journal.add(row)
    assert Journal(tmp_path, CONFIG, resume=True).done.keys() == {row.key}
    assert b"\xff\xfe.png,,0.5" in (tmp_path / "scores.csv").read_bytes()
    assert b"\xff\xfe.png,,1,2,3,4,0.5" in (tmp_path / "boxes.csv").read_bytes()
    assert [table_row["path"] for table_row in rows(tmp_path)] == [row.path]


def test_a_run_goes_on_without_a_line_that_was_cut_or_failed(tmp_path: Path):
    with Journal(tmp_path, CONFIG, resume=True) as journal:
        for row in (GOOD, BROKEN, BAD):
            journal.add(row)
    with open(tmp_path / "scores.jsonl", "a") as file:
        file.write(GOOD.as_json()[:40])
    with Journal(tmp_path, CONFIG, resume=True) as journal:
        assert journal.done == {Key("a.png"): Kept(None, False), Key(BAD.path, 7): Kept(None, True)}
        journal.add(Row("d.png", None, 0.1, 0.1, "good", (), 1.0))
    assert [row["path"] for row in rows(tmp_path)] == ["a.png", BAD.path, "d.png"]


def test_another_run_in_the_same_folder_is_refused_or_replaced(tmp_path: Path):
    with Journal(tmp_path, CONFIG, resume=True) as journal:
        journal.add(GOOD)
    (tmp_path / "maps").mkdir()
    with pytest.raises(InputError, match="holds a run with detector abc, but this one has d"):
        Journal(tmp_path, {"detector": "d"}, resume=True)
    assert len(rows(tmp_path)) == 1
    assert Journal(tmp_path, {"detector": "d"}, resume=False).done == {}
    assert rows(tmp_path) == []
    assert not (tmp_path / "maps").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/scores.csv").write_text("mine")
    with pytest.raises(InputError, match=r"scores\.csv: belongs to no known run; give another --out"):
        Journal(tmp_path / "other", CONFIG, resume=False)


@pytest.mark.parametrize("room", [1, 170, 280])
def test_a_full_disk_leaves_whole_lines(tmp_path: Path, room: int):
    long = [Row(f"{k}.png", None, 0.5, 0.5, "good", (), 1.0) for k in range(9)]
    fill(tmp_path, long, room)
    written = [row["path"] for row in rows(tmp_path)]
    assert written == [row.path for row in long[: len(written)]]
    assert len(written) == {1: 0, 170: 1, 280: 1}[room]
    assert (tmp_path / "scores.jsonl").read_bytes().endswith(b"}\n" if written else b"")


def test_a_disk_that_fills_up_with_boxes_leaves_whole_lines(tmp_path: Path):
    """A row whose boxes take more than the rest: the last of the files has no room for all of them."""
    large = Row("x" * 100 + ".png", None, 0.9, 0.9, "bad", tuple(Box(k, 2, 3, 4, 0.5) for k in range(9)), 1.0)
    assert len(large.as_json()) < 900 < len(large.boxes_as_csv())
    fill(tmp_path, [GOOD, large], 1000)
    assert [row["path"] for row in rows(tmp_path)] == ["a.png"]
    with Journal(tmp_path, CONFIG, resume=True) as journal:
        journal.add(large)
    assert [row["boxes"] for row in rows(tmp_path)] == ["0", "9"]


def fill(out: Path, added: list[Row], room: int) -> None:
    """Adds rows until a file would have more bytes; that stands for a full disk.

    A write is then cut short, and the next one fails.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(out, CONFIG, resume=True) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(
                InputError, match=r"cannot be written \(File too large\); finished rows are kept"
            ):
                list(map(journal.add, added))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
