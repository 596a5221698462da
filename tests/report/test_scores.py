"""Scores are read back from CSV as they were written."""

import numpy as np
import pytest

from vlmad_jax.errors import InputError
from vlmad_jax.report import ScoreRow, read_scores_csv, write_scores_csv


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
