"""zero_shot runs on every published data set, and what only some of them report."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.bright_evaluation import Brightness
from tests.data.conftest import SIZE, made_image, save
from tests.data.stand_ins import STAND_INS
from tests.experiments.command import Done, here
from vlmad_jax.commands import training
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.evaluation import evaluate as evaluation
from vlmad_jax.evaluation.submission import enlarge
from vlmad_jax.evaluation.tiff import float16_tiff
from vlmad_jax.metrics import METRIC_NAMES
from vlmad_jax.metrics import evaluate as metrics_of

pytestmark = pytest.mark.usefixtures("evaluating")
ONE_CLASS = {"isic", "cvc_colondb", "cvc_clinicdb", "kvasir", "endo", "tn3k"}
WITHOUT_MASKS = {"headct", "brainmri", "br35h"}


def run(
    capsys: pytest.CaptureFixture[str], name: str, folder: Path, weights: Path | str, *flags: str
) -> tuple[Done, dict[str, Any]]:
    """Make a stand-in and run zero_shot on it; return what it printed and metrics.json."""
    STAND_INS[name](folder / name)
    given = [f"--weights={weights}", f"--dataset={name}", f"--data_dir={folder / name}", "--batch_size=8"]
    done = here(capsys, "zero_shot", *given, f"--out={folder / 'out' / name}", *flags)
    assert done.code == 0, done.stderr
    return done, json.loads((folder / "out" / name / "metrics.json").read_text())


def first_of(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `make` once and always returns what it returned."""
    made: list[Any] = []

    def first(*arguments: Any) -> Any:
        if not made:
            made.append(make(*arguments))
        return made[0]

    return first


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all evaluations share a backbone, a detector and its compiled program."""
    for name in ("load_backbone", "ShapedDetector", "Scorer"):
        monkeypatch.setattr(evaluation, name, first_of(getattr(evaluation, name)))


@pytest.mark.usefixtures("compiled_once")
def test_zero_shot_on_every_published_set(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in STAND_INS:
        done, contents = run(capsys, name, tmp_path, weights, "--window_sizes=2")
        assert "results are in" in done.stdout
        for category, found in contents["categories"].items():
            one_class = name in ONE_CLASS or (name, category) == ("meta_json", "lid")
            lacking = [one_class] * 3 + [name in WITHOUT_MASKS] * 4
            assert [found[metric] is None for metric in METRIC_NAMES] == lacking, (name, category)
            assert all(0 <= value <= 1 for value in found.values() if value is not None)


def test_why_metrics_are_undefined(
    stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, contents = run(capsys, "isic", tmp_path, "stub")
    assert contents["undefined"] == {"skin": {"image": "all test images are anomalous"}}
    assert contents["mean"]["image_auroc"] is None
    assert contents["mean"]["pixel_auroc"] is not None
    assert "- image metrics of skin are undefined: all test images are anomalous\n" in done.stdout
    assert stub[0].prepared[0][0] == "skin lesion"
    done, contents = run(capsys, "headct", tmp_path, "stub")
    assert contents["undefined"] == {"head": {"pixel": "not every anomalous image has a mask"}}
    assert "undefined" not in run(capsys, "btad", tmp_path, "stub")[1]


def test_logical_and_structural_anomalies_apart(
    stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, contents = run(capsys, "mvtec_loco", tmp_path, "stub")
    assert list(contents["parts"]) == ["logical_anomalies", "structural_anomalies"]
    paths = [
        tmp_path / "mvtec_loco/pushpins/test" / name
        for name in (
            "good/000.png",
            "good/001.png",
            "logical_anomalies/000.png",
            "structural_anomalies/000.png",
        )
    ]
    scores = [resize_image(open_image(path), 16).astype(np.float32).mean() for path in paths]
    for number, (part, anomalous) in enumerate(contents["parts"].items()):
        expected = metrics_of([*scores[:2], scores[2 + number]], [0, 0, 1])
        assert anomalous["categories"]["pushpins"]["image_auroc"] == expected["image_auroc"], part
        assert anomalous["mean"] == anomalous["categories"]["pushpins"]
        assert anomalous["mean"]["pixel_aupro"] is not None
    together = metrics_of(scores, [0, 0, 1, 1])
    assert contents["categories"]["pushpins"]["image_auroc"] == together["image_auroc"]
    assert [line for line in done.stdout.splitlines() if line.endswith("anomalies")] == [
        "logical anomalies",
        "structural anomalies",
    ]


def test_a_thing_of_real_iad_scores_as_its_highest_view(
    stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, contents = run(capsys, "real_iad", tmp_path, "stub")
    root = tmp_path / "real_iad/realiad_1024/usb"
    highest = [
        max(
            resize_image(open_image(path), 16).astype(np.float32).mean()
            for path in (root / thing).glob("*.jpg")
        )
        for thing in ("OK/S0002", "NG/HS/S0003")
    ]
    things = contents["parts"]["things"]["categories"]["usb"]
    assert things == metrics_of(highest, [0, 1])
    assert things["image_auroc"] == float(highest[1] > highest[0])
    assert things["pixel_auroc"] is None


def test_the_private_images_of_mvtec_ad_2_become_a_submission(
    stub: list[Brightness], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, contents = run(capsys, "mvtec_ad_2", tmp_path, "stub")
    assert list(contents["categories"]) == ["vial"]
    maps = tmp_path / "out/mvtec_ad_2/submission/anomaly_images"
    written = sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*") if path.is_file())
    assert written == [
        "vial/test_private/000_regular.tiff",
        "vial/test_private/001_regular.tiff",
        "vial/test_private_mixed/000_mixed.tiff",
    ]
    found = tifffile.imread(maps / written[2])
    assert (found.dtype, found.shape) == (np.float16, (SIZE[1], SIZE[0]))
    image = resize_image(open_image(tmp_path / "mvtec_ad_2/vial/test_private_mixed/000_mixed.png"), 16)
    expected = enlarge(image.astype(np.float32).mean(axis=2), Resizing.to(16), SIZE)
    np.testing.assert_array_equal(found, expected.astype(np.float16))
    (maps / written[0]).unlink()
    before = (maps / written[1]).stat().st_mtime_ns
    again = here(
        capsys,
        "zero_shot",
        "--weights=stub",
        "--dataset=mvtec_ad_2",
        f"--data_dir={tmp_path / 'mvtec_ad_2'}",
        "--batch_size=8",
        f"--out={tmp_path / 'out/mvtec_ad_2'}",
    )
    assert again.code == 0, again.stderr
    assert (maps / written[0]).exists()
    assert (maps / written[1]).stat().st_mtime_ns == before


def test_a_cut_border_continues_and_large_values_stay_finite(tmp_path: Path) -> None:
    cut = Resizing((4, 6), (4, 4))
    grown = enlarge(np.arange(16, dtype=np.float32).reshape(4, 4), cut, (6, 4))
    np.testing.assert_array_equal(grown[:, 4:], grown[:, 3:4].repeat(2, axis=1))
    (tmp_path / "map.tiff").write_bytes(float16_tiff(np.array([[1e6, -1e6, 0.5]])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "map.tiff"), [[65504, -65504, 0.5]])


def test_one_training_run_is_tested_on_several_sets(
    stub: list[Brightness],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = []
    monkeypatch.setattr(training, "run", lambda config, out: trained.append(config.dataset) or out / "params")
    for name in ("mpdd", "isic"):
        STAND_INS[name](tmp_path / "data" / name)
    monkeypatch.setenv("VLMAD_JAX_DATA", str(tmp_path / "data"))
    out = tmp_path / "out"
    flags = ["--method=anomalyclip", "--train=visa", "--weights=stub", f"--out={out}"]
    done = here(capsys, "transfer", *flags, "--test=mpdd,isic")
    assert done.code == 0, done.stderr
    assert trained == ["visa"]
    matrix = json.loads((out / "transfer.json").read_text())
    assert matrix["train"] == "visa"
    for name in ("mpdd", "isic"):
        assert matrix["test"][name] == json.loads((out / "test" / name / "metrics.json").read_text())["mean"]
    assert matrix["test"]["isic"]["image_auroc"] is None
    assert matrix["mean"]["image_auroc"] == matrix["test"]["mpdd"]["image_auroc"]
    assert "| visa to |" in done.stdout
    wrong = here(capsys, "transfer", *flags, "--test=mpdd,isic", "--test_data_dir=a")
    assert wrong.stderr.startswith(
        "error: --test_data_dir has 1 folders for the 2 data sets of --test; give one"
    )


def test_files_that_vanish_after_indexing_are_reported(
    stub: list[Brightness],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of 120 test images vanishes between indexing and reading, in a folder that cannot be written."""
    STAND_INS["brainmri"](tmp_path / "brainmri")
    for number in range(115):
        save(made_image(number), tmp_path / f"brainmri/no/more{number}.png")
    load = evaluation.load_dataset

    def load_and_lose(*arguments: Any) -> Any:
        dataset = load(*arguments)
        (tmp_path / "brainmri/no/more7.png").unlink()
        return dataset

    monkeypatch.setattr(evaluation, "load_dataset", load_and_lose)
    flags = ["--weights=stub", "--dataset=brainmri", f"--data_dir={tmp_path / 'brainmri'}"]
    (tmp_path / "brainmri/no").chmod(0o755)
    (tmp_path / "brainmri").chmod(0o555)
    done = here(capsys, "zero_shot", *flags, f"--out={tmp_path / 'out'}")
    (tmp_path / "brainmri").chmod(0o755)
    assert done.code == 0, done.stderr
    rows = (tmp_path / "out/scores.csv").read_text().splitlines()
    assert len(rows) == 121
    assert next(row for row in rows if "no such image" in row).startswith("no/more7.png,brain,good,0,,")
