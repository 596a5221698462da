"""What an evaluation reads: images and masks of any name, and masks that mark nothing."""

import csv
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.bright_evaluation import Brightness
from tests.data.conftest import SIZE, made_image, mask, save
from vlmad_jax.evaluation import evaluate as evaluation
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.metrics import METRIC_NAMES

pytestmark = pytest.mark.usefixtures("evaluating")

LATIN_1 = os.fsdecode(b"ray\xe9")


def test_names_of_any_bytes_and_images_that_share_a_stem(
    folder: Path, stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bottle = folder / "bottle"
    for name, seed in (
        ("0.png", 1),
        ("0.jpg", 2),
        (f"{LATIN_1}.png", 3),
        ("lot2/0.png", 4),
        ("a\nb,'\".png", 5),
    ):
        save(made_image(seed), bottle / f"test/{LATIN_1}" / name)
    for name in ("0.png_mask.png", "0.jpg_mask.png", f"{LATIN_1}_mask.png", "lot2/0/1.png", "a\nb,'\".png"):
        save(mask(), bottle / f"ground_truth/{LATIN_1}" / name)
    (bottle / f"test/{LATIN_1}/broken\n{LATIN_1}.png").write_bytes(b"?")
    config = EvaluationConfig("winclip", "none", "folder", str(folder), ("bottle",), shots=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "UNREADABLE_LIMIT", 0.5)
        evaluate(config, tmp_path / LATIN_1, save_maps=True)
        evaluate(config, tmp_path / LATIN_1, save_maps=True)
    assert len(stub[-1].batches) == 0  # all maps were there
    below = tmp_path / LATIN_1 / f"maps/bottle/{LATIN_1}"
    assert {path.relative_to(below).as_posix() for path in below.rglob("*.png")} == {
        *("0.png.png", "0.jpg.png", f"{LATIN_1}.png", "lot2/0.png", "a\nb,'\".png"),
    }
    with open(tmp_path / LATIN_1 / "scores.csv", newline="", errors="surrogateescape") as file:
        rows = [row for row in csv.DictReader(file) if row["defect"] == LATIN_1]
    assert [row["path"].partition(f"/{LATIN_1}/")[2] for row in rows] == sorted(
        [f"{LATIN_1}.png", "0.png", "0.jpg", "lot2/0.png", "a\nb,'\".png", f"broken\n{LATIN_1}.png"]
    )
    printed = capsys.readouterr()
    assert "broken\\nray\\xe9.png: does not decode" in printed.out.splitlines()[0]
    manifest = json.loads((tmp_path / LATIN_1 / "references.json").read_text())
    assert len(manifest["bottle"]) == 2


def test_a_mask_that_marks_nothing_leaves_pixel_metrics_undefined(
    folder: Path, stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = EvaluationConfig("winclip", "none", "folder", str(folder), ("bottle",))
    whole = evaluate(config, tmp_path / "whole")["mean"]
    assert "defective" not in capsys.readouterr().err
    empty = folder / "bottle/ground_truth/scratch/001_mask.png"
    for saved in (mask(0), mask(0).convert("RGBA")):
        save(saved, empty)
        found = evaluate(config, tmp_path / "empty", resume=False)["mean"]
        assert "1 of 3 anomalous images has a mask that marks nothing" in capsys.readouterr().err
        assert [name for name in METRIC_NAMES if found[name] is None] == list(METRIC_NAMES[3:])
        assert found["image_auroc"] == whole["image_auroc"]
    opacity = Image.new("RGBA", SIZE, "white")
    opacity.putalpha(mask())
    save(opacity, empty)
    assert evaluate(config, tmp_path / "opacity")["mean"] == whole
