"""batched as a command: sets without what cannot be read, resumed by category, and marked everywhere."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.experiments.command import Done, here
from vlmad_jax import InputError, MuSc, load_clip, read_image
from vlmad_jax.evaluation.comparison import Cell, Grid
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.methods import MethodOptions
from vlmad_jax.report.table import comparison_tables

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.fixture
def batched(folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(*flags: str) -> Done:
        given = [f"--weights={weights}", "--dataset=folder", f"--data_dir={folder}", "--batch_size=2"]
        return here(capsys, "batched", *given, f"--out={tmp_path / 'out'}", *flags)

    return run


def test_a_set_is_what_can_be_read_and_a_category_is_kept(
    batched, folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from vlmad_jax.evaluation import evaluate as evaluation

    monkeypatch.setattr(evaluation, "UNREADABLE_LIMIT", 0.5)
    test = folder / "bottle/test"
    (test / "good/broken.png").write_bytes(b"no image")
    done = batched("--save_maps", "--image_neighbours=1,2")
    assert done.code == 0, done.stderr
    assert "sees the whole unlabelled test set" in done.stdout
    out = tmp_path / "out"
    config = json.loads((out / "metrics.json").read_text())["config"]
    assert (config["shots"], config["setting"]["image_neighbours"]) == ("batched", [1, 2])
    with open(out / "scores.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["category"] == "bottle"]
    (skipped,) = [row for row in rows if not row["score"]]
    assert "broken.png" in skipped["path"]
    read = [row for row in rows if row["score"]]
    images = np.stack([read_image(folder / row["path"], 64) for row in read])
    expected = MuSc(load_clip(weights), 64, (1,), image_neighbours=(1, 2)).score_set(images)
    np.testing.assert_allclose([float(row["score"]) for row in read], expected.image, atol=1e-5)
    assert len(list((out / "maps").rglob("*.png"))) == 10

    before = {path: path.stat().st_mtime_ns for path in (out / "categories").iterdir()}
    (out / "categories/metal_nut.json").unlink()
    assert batched("--save_maps", "--image_neighbours=1,2").code == 0
    changed = {path.stem for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert changed == {"metal_nut"}


def test_a_cell_of_a_comparison_has_times(folder: Path, weights: Path, tmp_path: Path):
    config = EvaluationConfig(
        "musc", str(weights), "folder", str(folder), ("metal_nut",), batch_size=2, shots="batched"
    )
    results = Cell(config, tmp_path / "cell", True, 0).run()
    assert results["image_auroc"] is not None
    assert results["image_seconds"] > 0
    assert results["prepare_seconds"] == 0


def test_what_is_not_batched_is_refused(
    batched, capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
):
    refused = batched("--method=winclip")
    assert (refused.code, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith(
        "error: method 'winclip' does not score a set by itself; give one of musc"
    )
    fit = [f"--references={folder}", f"--out={tmp_path / 'a.vlmad'}", "--object=nut"]
    for command, flags in (("zero_shot", []), ("few_shot", []), ("fit", fit)):
        refused = here(capsys, command, "--method=musc", *flags)
        assert (refused.code, refused.stderr.count("\n")) == (1, 1), refused.stderr
        assert (
            "musc scores a whole unlabelled set by itself and has nothing to fit or export" in refused.stderr
        )
        assert "experiments.batched --method=musc" in refused.stderr
    assert "li2024musc" in here(capsys, "batched", "--method=musc", "--cite").stdout


@pytest.mark.parametrize("method", ["anomalydino", "subspacead"])
def test_methods_with_references_have_a_batched_setting_too(batched, method: str, tmp_path: Path):
    refused = batched(f"--method={method}", "--rotations=90", "--random_rotations=1")
    assert refused.code == 1
    assert f"is not an option of the batched setting of {method}; remove it" in refused.stderr
    done = batched(f"--method={method}", "--categories=metal_nut")
    assert done.code == 0, done.stderr
    assert "sees the whole unlabelled test set" in done.stdout
    results = json.loads((tmp_path / "out/metrics.json").read_text())
    assert results["config"]["shots"] == "batched"
    assert results["mean"]["image_auroc"] is not None


def test_options_of_any_compared_method():
    def grid(*methods: str, **options) -> Grid:
        shared = EvaluationConfig("", "w", "folder", options=MethodOptions(**options))
        return Grid(methods, (2, "batched"), (0,), {}, shared)

    cells = grid("winclip", "subspacead", random_rotations=3, explained_variance=0.9).cells
    assert list(cells) == [
        f"{name}-shots-seed-0" for name in ("winclip-2", "subspacead-2", "subspacead-batched")
    ]
    assert [x.options.random_rotations for x in cells.values()] == [None, 3, None]
    assert [x.options.explained_variance for x in cells.values()] == [None, 0.9, 0.9]
    with pytest.raises(InputError, match="--steps is not an option of winclip, subspacead; remove it"):
        grid("winclip", "subspacead", steps=3)


def test_a_comparison_has_batched_methods_in_a_table_of_their_own():
    shared = EvaluationConfig("", "w", "folder", options=MethodOptions(image_neighbours=(1,)))
    grid = Grid(("winclip", "musc"), (0, 2, "batched"), (0, 1), {}, shared)
    assert grid.rows == (("winclip", 0), ("winclip", 2), ("musc", "batched"))
    assert [name for name in grid.cells if "musc" in name] == ["musc-batched-shots-seed-0"]
    assert grid.cells["musc-batched-shots-seed-0"].options.image_neighbours == (1,)
    assert grid.cells["winclip-0-shots-seed-0"].options.image_neighbours is None
    assert Grid(("musc",), (0,), (0,), {}, shared).rows == (("musc", "batched"),)
    numbers = dict.fromkeys(("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro"), 0.5)
    numbers |= {f"{name}_deviation": None for name in numbers}
    numbers |= dict.fromkeys(("image_seconds", "prepare_seconds", "peak_memory_bytes"))
    rows = [{"method": name, "shots": shots, **numbers} for name, shots in grid.rows]
    first, said, second = comparison_tables(rows).split("\n\n")
    assert "musc" not in first
    assert "sees the whole unlabelled test set" in said
    assert "musc" in second
    assert "winclip" not in second
