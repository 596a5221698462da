"""Results that are whole or not there, and scores that read back as they were."""

import json
import os

import numpy as np
import pytest

from vlmad_jax.errors import InputError
from vlmad_jax.report import ScoreRow, read_scores_csv, write_atomically, write_json, write_scores_csv


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_replace_what_was_there(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names_in(path.parent) == ["file"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing, failure):
    path = tmp_path / "metrics.json"
    write_atomically(path, "old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises((KeyboardInterrupt, InputError)) as caught:
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["metrics.json"]
    if isinstance(failure, OSError):
        assert (
            str(caught.value) == f"{path}: cannot be written (No space left on device); choose another folder"
        )


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"out: cannot be written \(Is a directory\)"):
        write_atomically(tmp_path / "out", "text")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"metrics.json: cannot be written"):
        write_atomically(tmp_path / "file" / "metrics.json", "text")


def test_json_keeps_the_order_of_keys_and_ends_the_line(tmp_path):
    value = {"b": 1, "a": {"z": None, "y": [0.1, "é"]}}
    write_json(tmp_path / "m.json", value)
    text = (tmp_path / "m.json").read_text("utf-8")
    expected = '{\n  "b": 1,\n  "a": {\n    "z": null,\n    "y": [\n      0.1,\n      "é"\n    ]\n  }\n}\n'
    assert text == expected
    assert json.loads(text) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_it_does_not_have(tmp_path, value):
    with pytest.raises(InputError, match=r"m.json: holds NaN or an infinity"):
        write_json(tmp_path / "m.json", {"mean": [value]})
    assert names_in(tmp_path) == []


def test_scores_read_back_as_the_same_float32(tmp_path):
    random = np.random.default_rng(0)
    scores = np.concatenate(
        [random.random(500, np.float32), np.array([0, 1e-45, 3.4e38, 1 / 3, -2.5], np.float32)]
    )
    rows = [ScoreRow(f"{n}.png", "cup", "good", 0, score) for n, score in enumerate(scores)]
    write_scores_csv(tmp_path / "scores.csv", rows)
    again = read_scores_csv(tmp_path / "scores.csv")
    np.testing.assert_array_equal(np.array([row.score for row in again], np.float32), scores)
    write_scores_csv(tmp_path / "again.csv", again)
    assert [row.score for row in read_scores_csv(tmp_path / "again.csv")] == [row.score for row in again]


def test_a_read_file_written_again_is_the_same_bytes(tmp_path):
    rows = [
        ScoreRow('cup/test/a "b",\nc\udcff.png', "cup", "crack", 1, np.float32(0.1)),
        ScoreRow("cup/test/good/é.png", "cup", "good", 0, 0.1 + 0.2),
        ScoreRow("cup/test/good/2.png", "cup", "good", 0, None, "does not decode"),
    ]
    write_scores_csv(tmp_path / "1.csv", rows)
    again = read_scores_csv(tmp_path / "1.csv")
    assert again == [ScoreRow(rows[0].path, "cup", "crack", 1, 0.1), *rows[1:]]
    write_scores_csv(tmp_path / "2.csv", again)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_the_columns(tmp_path):
    write_scores_csv(tmp_path / "s.csv", [ScoreRow("a.png", "cup", "good", 0, np.float32(0.25))])
    text = (tmp_path / "s.csv").read_text()
    assert text == "path,category,defect,label,score,error\na.png,cup,good,0,0.25,\n"


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("", "columns are ; expected path,category,defect,label,score,error"),
        ("path,score\n", "columns are path,score; expected"),
        ("path,category,defect,label,score,error\na,b,c,0,0.5,\na,b,c,x,0.5,\n", "row 2 is damaged"),
        ("path,category,defect,label,score,error\na,b,c,0\n", "row 1 is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, culprit):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_scores_csv(tmp_path / "s.csv")
    assert str(caught.value).startswith(f"{tmp_path / 's.csv'}: {culprit}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"s.csv: cannot be read \(No such file or directory\)"):
        read_scores_csv(tmp_path / "s.csv")
