"""The folder of a run: what it keeps, what it refuses, and what it never touches."""

import json
from pathlib import Path

import pytest

from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.results import Results
from vlmad_jax.metrics import METRIC_NAMES
from vlmad_jax.report import ScoreRow

CONFIG = {"method": "winclip", "seed": 0, "window_sizes": [2, 3]}
HALF = dict.fromkeys(METRIC_NAMES, 0.5) | {"pixel_ap": None}
ROWS = [
    ScoreRow("cup/test/good/0.png", "cup", "good", 0, 0.25),
    ScoreRow("cup/test/dent/1.png", "cup", "dent", 1, None, "does not decode"),
]


def started(out: Path) -> Results:
    """A run that finished the category cup."""
    results = Results(out)
    results.open(CONFIG, resume=True)
    results.add("cup", HALF, ROWS)
    return results


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_finished_is_kept_and_ends_in_two_files(tmp_path: Path) -> None:
    assert not Results(tmp_path / "run").has("cup")
    started(tmp_path / "run")
    results = Results(tmp_path / "run")
    results.open(dict(CONFIG), resume=True)
    assert results.has("cup")
    assert not results.has("lid")
    assert results.rows("cup") == ROWS
    lid = dict.fromkeys(METRIC_NAMES, 1.0)
    results.add("lid", lid, [ScoreRow("lid/test/good/0.png", "lid", "good", 0, 0.125)])
    contents = results.finish("winclip", CONFIG, ["lid", "cup"])
    assert list(contents) == ["method", "config", "categories", "mean"]
    assert contents["categories"] == {"lid": lid, "cup": HALF}
    assert list(contents["categories"]) == ["lid", "cup"]
    assert contents["mean"] == dict.fromkeys(METRIC_NAMES, 0.75) | {"pixel_ap": 1.0}
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == contents
    assert (tmp_path / "run/scores.csv").read_text().splitlines() == [
        "path,category,defect,label,score,error",
        "lid/test/good/0.png,lid,good,0,0.125,",
        "cup/test/good/0.png,cup,good,0,0.25,",
        "cup/test/dent/1.png,cup,dent,1,,does not decode",
    ]


def test_scores_without_metrics_are_not_finished(tmp_path: Path) -> None:
    results = started(tmp_path)
    (tmp_path / "categories/cup.json").unlink()
    assert not results.has("cup")


def test_another_configuration_is_refused_by_name(tmp_path: Path) -> None:
    started(tmp_path)
    message = "holds a run with seed 0, but this one has 1; give another --out, or --noresume to replace it"
    with pytest.raises(InputError, match=message):
        Results(tmp_path).open(CONFIG | {"seed": 1}, resume=True)
    assert Results(tmp_path).rows("cup") == ROWS


def test_a_category_with_another_key_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Results(tmp_path, {"cup": "1", "lid": "1"})
    first.open(CONFIG | {"data_fingerprint": "a"}, resume=True)
    for name in ("cup", "lid"):
        first.add(name, HALF, ROWS)
        first.add_timing(name, {"image_seconds": 1.0})
        for folder in ("maps", "details"):
            (tmp_path / folder / name).mkdir(parents=True)
            (tmp_path / folder / name / "0.png").write_text("")
    first.finish("winclip", CONFIG, ["cup", "lid"])
    again = Results(tmp_path, {"cup": "1", "lid": "2"})
    again.open(CONFIG | {"data_fingerprint": "b"}, resume=True)
    assert (again.has("cup"), again.has("lid")) == (True, False)
    assert files(tmp_path) == [
        "categories/cup.csv",
        "categories/cup.json",
        "config.json",
        "details/cup/0.png",
        "maps/cup/0.png",
        "timing/cup.json",
    ]
    assert json.loads((tmp_path / "config.json").read_text())["data_fingerprint"] == "b"
    (line,) = capsys.readouterr().err.splitlines()
    assert "the images of lid or the versions changed" in line


def test_a_category_of_an_older_version_is_not_kept(tmp_path: Path) -> None:
    started(tmp_path)
    (tmp_path / "categories/cup.json").write_text(json.dumps(HALF))
    results = Results(tmp_path, {"cup": "1"})
    assert results.metrics("cup") == HALF
    results.open(CONFIG, resume=True)
    assert not results.has("cup")


def test_replaced_without_resume(tmp_path: Path) -> None:
    started(tmp_path).finish("winclip", CONFIG, ["cup"])
    for name in ("references.json", "maps/cup/dent/1.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    results = Results(tmp_path)
    results.open(CONFIG | {"seed": 1}, resume=False)
    assert files(tmp_path) == ["config.json", "notes.txt"]
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 1
    assert not results.has("cup")


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("categories/cup.json", "categories: belongs to no known run; give another --out"),
        ("maps/a.png", "maps: belongs to no known run; give another --out"),
        ("metrics.json", "metrics.json: belongs to no known run; give another --out"),
        ("config.json", "config.json: is the configuration of another kind of run; give another --out"),
    ],
)
def test_files_of_something_else_are_left_alone(
    tmp_path: Path, name: str, message: str, resume: bool
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"model_type": "clip"}')
    with pytest.raises(InputError, match=message):
        Results(tmp_path).open(CONFIG, resume)
    assert files(tmp_path) == [name]
    assert (tmp_path / name).read_text() == '{"model_type": "clip"}'


def test_damaged_files_are_named(tmp_path: Path) -> None:
    results = started(tmp_path)
    (tmp_path / "categories/cup.json").write_text("{")
    with pytest.raises(InputError, match=r"categories/cup\.json: is damaged .* run again with --noresume"):
        results.finish("winclip", CONFIG, ["cup"])
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match=r"config\.json: is the configuration of another kind of run"):
        results.open(CONFIG, resume=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("kept")
    with pytest.raises(InputError, match=r"run/config\.json: cannot be written \(.*choose another folder"):
        Results(tmp_path / "run").open(CONFIG, resume=True)
    assert (tmp_path / "run").read_text() == "kept"
