"""An evaluation is the detector and the metrics on each image, whatever the batches, and loses nothing."""

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bright_evaluation import Brightness
from tests.data.conftest import SIZE, made_image, make_category, mask, save
from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.data import load_dataset
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.masks import read_masks, resize_mask
from vlmad_jax.data.references import draw_references
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation import evaluate as evaluation
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.methods import MethodOptions, Scores, WinCLIP
from vlmad_jax.metrics import METRIC_NAMES
from vlmad_jax.metrics import evaluate as metrics_of
from vlmad_jax.runtime import cache

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.fixture
def config(folder: Path, weights: Path) -> EvaluationConfig:
    """WinCLIP on two categories, a batch for each."""
    return EvaluationConfig(
        "winclip", str(weights), "folder", str(folder), batch_size=5, options=MethodOptions(window_sizes=(2,))
    )


def rows_of(out: Path) -> list[dict[str, str]]:
    with open(out / "scores.csv", newline="") as file:
        return list(csv.DictReader(file))


def scores_of(out: Path) -> np.ndarray:
    return np.array([float(row["score"]) for row in rows_of(out)])


def by_hand(config: EvaluationConfig, category: str) -> tuple[list[str], Scores, np.ndarray, np.ndarray]:
    """Names, scores, labels and masks of a category's test images, scored in one batch."""
    dataset = load_dataset(config.dataset, config.data_dir)
    detector = WinCLIP(load_clip(config.weights), window_sizes=config.options.window_sizes)
    references = None
    if config.shots:
        drawn = draw_references(dataset, category, config.shots, config.seed)
        references = np.stack([resize_image(open_image(sample.path), 64) for sample in drawn])
    samples = dataset.select(category, "test")
    images = np.stack([resize_image(open_image(sample.path), 64) for sample in samples])
    masks = [resize_mask(read_masks(s.masks), 64) if s.masks else np.zeros((64, 64)) for s in samples]
    state = detector.prepare(category.replace("_", " "), references)
    names = [dataset.relative(sample.path) for sample in samples]
    scores = Scores(*map(np.asarray, detector.score(state, images)))
    return names, scores, np.array([s.label for s in samples]), np.stack(masks)


def test_the_three_outputs(config: EvaluationConfig, tmp_path: Path) -> None:
    returned = evaluate(config, tmp_path / "out", save_maps=True)
    contents = json.loads((tmp_path / "out/metrics.json").read_text())
    assert contents == returned
    assert list(contents) == ["method", "config", "categories", "mean", "undefined"]
    assert contents["undefined"] == {"metal_nut": {"pixel": "not every anomalous image has a mask"}}
    assert contents["method"] == contents["config"]["method"] == "winclip"
    assert contents["config"]["window_sizes"] == [2]
    assert list(contents["categories"]) == ["bottle", "metal_nut"]
    expected_rows = []
    for category, masked in (("bottle", True), ("metal_nut", False)):
        names, scores, labels, masks = by_hand(config, category)
        pixels = (scores.map, masks) if masked else ()
        expected = metrics_of(scores.image, labels, *pixels)
        assert contents["categories"][category] == expected
        assert list(contents["categories"][category]) == list(METRIC_NAMES)
        assert [expected[name] is None for name in METRIC_NAMES] == [False] * 3 + [not masked] * 4
        for name, score in zip(names, scores.image, strict=True):
            defect = name.split("/")[2]
            label = str(int(defect != "good"))
            expected_rows.append([name, category, defect, label, str(score), ""])
    assert [list(row.values()) for row in rows_of(tmp_path / "out")] == expected_rows
    assert list(rows_of(tmp_path / "out")[0]) == ["path", "category", "defect", "label", "score", "error"]
    both = list(contents["categories"].values())
    assert contents["mean"]["image_ap"] == (both[0]["image_ap"] + both[1]["image_ap"]) / 2
    assert contents["mean"]["pixel_aupro"] == both[0]["pixel_aupro"]

    maps = {path.relative_to(tmp_path / "out/maps").as_posix() for path in tmp_path.glob("out/maps/**/*.png")}
    assert maps == {row[0].replace("/test/", "/") for row in expected_rows}
    drawn = np.asarray(Image.open(tmp_path / "out/maps/bottle/scratch/001.png"))
    whole = open_image(f"{config.data_dir}/bottle/test/scratch/001.png")
    assert (whole.width, whole.height) == (12, 10)  # it was 64 x 64 when it was scored
    assert drawn.shape[1] == 3 * 288
    assert (drawn[240:244] == 255).all()  # the caption begins
    shown = Image.fromarray(resize_image(whole, 64)).resize((144, 120), Image.Resampling.BICUBIC)
    drawn = drawn[:240:2, ::2]  # small images are enlarged by a whole number
    assert np.array_equal(drawn[:, :144], np.asarray(shown))
    assert not np.array_equal(drawn[:, 288:], np.asarray(shown))  # the outline
    unknown = np.asarray(Image.open(tmp_path / "out/maps/metal_nut/scratch/001.png"))
    assert unknown.shape[1] == 2 * 288


def test_batches_and_chosen_categories_change_nothing(config: EvaluationConfig, tmp_path: Path) -> None:
    whole = evaluate(config, tmp_path / "whole")
    padded = dataclasses.replace(config, batch_size=3)
    evaluate(padded, tmp_path / "padded")
    # Sums are taken in another order for another shape.
    assert np.abs(scores_of(tmp_path / "padded") - scores_of(tmp_path / "whole")).max() <= 1e-6
    one = evaluate(dataclasses.replace(config, categories=("metal_nut",)), tmp_path / "one")
    assert one["categories"] == {"metal_nut": whole["categories"]["metal_nut"]}
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "whole")[5:]


def test_few_shot(config: EvaluationConfig, tmp_path: Path) -> None:
    few = dataclasses.replace(config, shots=2, seed=1, categories=("bottle",))
    found = evaluate(few, tmp_path / "out")
    _, scores, labels, masks = by_hand(few, "bottle")
    assert found["categories"]["bottle"] == metrics_of(scores.image, labels, scores.map, masks)
    assert [row["score"] for row in rows_of(tmp_path / "out")] == [str(score) for score in scores.image]
    drawn = draw_references(load_dataset("folder", config.data_dir), "bottle", 2, 1)
    manifest = json.loads((tmp_path / "out/references.json").read_text())
    assert manifest == {"bottle": [sample.path for sample in drawn]}
    given = dataclasses.replace(few, seed=7, reference_list=str(tmp_path / "out/references.json"))
    evaluate(given, tmp_path / "again")
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "out")
    assert json.loads((tmp_path / "again/references.json").read_text()) == manifest


def test_precision_windows_and_weights_change_the_scores(config: EvaluationConfig, tmp_path: Path) -> None:
    one = dataclasses.replace(config, categories=("bottle",))
    evaluate(one, tmp_path / "base")
    base = scores_of(tmp_path / "base")
    other = shutil.copytree(config.weights, tmp_path / "other")
    (other / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}')
    for name, change in {"dtype": "bfloat16", "weights": str(other)}.items():
        evaluate(dataclasses.replace(one, **{name: change}), tmp_path / name)
        assert np.abs(scores_of(tmp_path / name) - base).max() > 1e-5, name
    four = evaluate(dataclasses.replace(one, options=MethodOptions(window_sizes=(4,))), tmp_path / "four")[
        "mean"
    ]
    two = json.loads((tmp_path / "base/metrics.json").read_text())["mean"]
    assert np.array_equal(scores_of(tmp_path / "four"), base)  # windows are for the map
    assert abs(four["pixel_auroc"] - two["pixel_auroc"]) > 1e-4


def test_seed_and_shots_choose_the_references(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path
) -> None:
    for number, (shots, seed) in enumerate([(2, 0), (2, 1), (3, 0)]):
        evaluate(dataclasses.replace(config, shots=shots, seed=seed), tmp_path / str(number))
    shapes = [detector.prepared[0][1].shape for detector in stub]  # type: ignore[union-attr]
    assert shapes == [(2, 16, 16, 3), (2, 16, 16, 3), (3, 16, 16, 3)]
    assert [name for name, _ in stub[0].prepared] == ["bottle", "metal nut"]
    listed = [json.loads((tmp_path / str(n) / "references.json").read_text()) for n in range(3)]
    assert listed[0] != listed[1]
    assert listed[2]["bottle"][:2] == listed[0]["bottle"]
    assert len({path.read_bytes() for path in tmp_path.glob("?/scores.csv")}) == 3


def test_other_references_under_the_same_name_are_another_run(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path
) -> None:
    manifest = tmp_path / "references.json"
    names = {"bottle": ["000.png"], "metal_nut": ["001.png"]}
    manifest.write_text(json.dumps(names))
    given = dataclasses.replace(config, shots=1, reference_list=str(manifest))
    evaluate(given, tmp_path / "out")
    manifest.write_text(json.dumps(names | {"bottle": ["002.png"]}))
    with pytest.raises(InputError, match="holds a run with references_fingerprint"):
        evaluate(given, tmp_path / "out")
    manifest.write_text(json.dumps(names | {"bottle": ["000.png", "002.png"]}))
    message = "lists 2 images of bottle, not --shots=1; give --shots=2"
    with pytest.raises(InputError, match=message):
        evaluate(given, tmp_path / "out")


def test_a_category_whose_images_changed_is_evaluated_again(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, few = tmp_path / "out", dataclasses.replace(config, shots=2)
    before = evaluate(few, out, save_maps=True)
    good, bent = (Path(config.data_dir or "", f"bottle/test/{name}/000.png") for name in ("good", "bent"))
    swapped = good.read_bytes(), bent.read_bytes()
    bent.write_bytes(swapped[0])
    good.write_bytes(swapped[1])
    again = evaluate(few, out, save_maps=True)
    assert "the images of bottle or the versions changed" in capsys.readouterr().err
    assert again == evaluate(few, tmp_path / "anew")
    assert again["categories"]["bottle"] != before["categories"]["bottle"]
    assert again["categories"]["metal_nut"] == before["categories"]["metal_nut"]
    assert [len(detector.prepared) for detector in stub] == [2, 1, 2]
    used = json.loads((out / "references.json").read_text())["metal_nut"][0]
    save(made_image(99), Path(used))
    assert evaluate(few, out) == evaluate(few, tmp_path / "references")
    assert [name for name, _ in stub[3].prepared] == ["metal nut"]


def test_an_upgrade_brings_back_no_figure(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 1, 0):
        monkeypatch.setattr(cache, "CACHE_VERSION", version)
        evaluate(config, tmp_path / "out")
    assert [len(detector.prepared) for detector in stub] == [2, 0, 2]


def test_batch_size_and_workers_reach_the_reading(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path
) -> None:
    here = dataclasses.replace(config, batch_size=2)
    evaluate(here, tmp_path / "here", save_maps=True)
    evaluate(here, tmp_path / "processes", save_maps=True, workers=2)
    assert stub[0].batches == stub[1].batches == [2] * 6
    files = [path.relative_to(tmp_path / "here") for path in tmp_path.glob("here/**/*") if path.is_file()]
    assert len(files) == 18
    for file in files:
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "processes" / file).read_bytes()


def test_maps_asked_for_later_are_drawn(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path
) -> None:
    evaluate(config, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")}
    evaluate(config, tmp_path / "out", save_maps=True)
    lost = tmp_path / "out/maps/metal_nut/bent/000.png"
    drawn = lost.read_bytes()
    lost.unlink()
    evaluate(config, tmp_path / "out", save_maps=True)
    assert lost.read_bytes() == drawn
    assert [len(detector.batches) for detector in stub] == [2, 2, 1]
    evaluate(config, tmp_path / "out", save_maps=True)
    assert stub[-1].batches == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.*")} == before


@pytest.fixture
def many(tmp_path: Path) -> Callable[[int], EvaluationConfig]:
    """Makes 202 test images, the last of them broken: `a` has 2 and `b` 200."""

    def make(broken: int) -> EvaluationConfig:
        root = tmp_path / "many"
        for category, count in (("a", 1), ("b", 100)):
            save(made_image(0), root / category / "train/good/0.png")
            for number in range(count):
                save(made_image(number), root / category / f"test/good/{number:03}.png")
                save(made_image(500 + number), root / category / f"test/hole/{number:03}.png")
                save(mask(), root / category / f"ground_truth/hole/{number:03}_mask.png")
        for path in sorted((root / "b/test/hole").iterdir())[-broken:]:
            path.write_bytes(path.read_bytes()[:60])
        return EvaluationConfig("winclip", "none", "folder", str(root), batch_size=64)

    return make


def test_the_progress_bar_says_what_it_waits_for(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(config, tmp_path / "out")
    lines = [line for line in capsys.readouterr().err.split("\r") if "images" in line]
    said = ("preparing", "compiling", "metrics")
    shown = [x for line in lines for x in said if line.rstrip().endswith(f", {x}]")]
    steps = [step for step, before in zip(shown, ["", *shown], strict=False) if step != before]
    assert steps == ["preparing", "compiling", "metrics", "preparing", "metrics"]
    assert "100%" in lines[-1]
    assert "metrics" not in lines[-1]


def test_an_unreadable_image_is_named_and_left_out(
    many: Callable[[int], EvaluationConfig],
    stub: list[Brightness],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = many(2)
    found = evaluate(config, tmp_path / "out", save_maps=True)
    rows = rows_of(tmp_path / "out")
    left_out = [row for row in rows if row["error"]]
    assert [(row["path"], row["score"]) for row in left_out] == [
        ("b/test/hole/098.png", ""),
        ("b/test/hole/099.png", ""),
    ]
    assert "b/test/hole/099.png: does not decode (" in left_out[1]["error"]
    assert capsys.readouterr().out.splitlines() == [
        *(f"skipped: {row['error']}" for row in left_out),
        f"2 images cannot be read and are skipped; {tmp_path / 'out/scores.csv'} says why",
    ]
    assert not (tmp_path / "out/maps/b/hole/099.png").exists()
    assert len(list(tmp_path.glob("out/maps/b/*/*.png"))) == 198
    kept = [row for row in rows if row["category"] == "b" and row["score"]]
    scores, labels = [float(row["score"]) for row in kept], [int(row["label"]) for row in kept]
    assert (len(kept), sum(labels)) == (198, 98)
    expected = metrics_of(np.array(scores, np.float32), labels)
    assert found["categories"]["b"]["image_auroc"] == expected["image_auroc"]
    assert found["categories"]["b"]["pixel_aupro"] is not None


def test_too_many_unreadable_images_fail_and_what_is_finished_stays(
    many: Callable[[int], EvaluationConfig], stub: list[Brightness], tmp_path: Path
) -> None:
    config = many(3)
    message = r"^3 of 202 images cannot be read, more than 1% \(the last in b: .*; repair or remove them$"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            evaluate(config, tmp_path / "out")
    assert [[name for name, _ in detector.prepared] for detector in stub] == [["a", "b"], ["b"]]
    left = sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/**/*.*"))
    assert left == ["categories/a.csv", "categories/a.json", "config.json"]


def test_a_category_of_nothing_readable_is_null(
    stub: list[Brightness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "UNREADABLE_LIMIT", 0.5)  # instead of hundreds of images
    make_category(tmp_path / "many/b")
    save(made_image(0, SIZE), tmp_path / "many/a/train/good/0.png")
    (tmp_path / "many/a/test/good").mkdir(parents=True)
    (tmp_path / "many/a/test/good/0.png").write_bytes(b"")
    config = EvaluationConfig("winclip", "none", "folder", str(tmp_path / "many"))
    found = evaluate(config, tmp_path / "out", save_maps=True)
    assert found["categories"]["a"] == dict.fromkeys(METRIC_NAMES)
    assert found["mean"] == found["categories"]["b"]


def test_scores_that_are_not_finite_end_a_run_at_the_first_batch(
    many: Callable[[int], EvaluationConfig], stub: list[Brightness], tmp_path: Path, monkeypatch: Any
) -> None:
    nothing = Scores(np.full(5, np.nan), np.full((5, 16, 16), np.nan))
    monkeypatch.setattr(Brightness, "score_with", lambda self, *_: self.batches.append(5) or nothing)
    message = (
        "^odd/clip: gives scores that are not finite with dtype bfloat16; give other weights, or --dtype="
    )
    with pytest.raises(InputError, match=message):
        evaluate(dataclasses.replace(many(0), batch_size=5), tmp_path / "out")
    assert len(stub[0].batches) <= 2  # of 41: the next is computed while one is fetched
    assert not (tmp_path / "out/metrics.json").exists()
