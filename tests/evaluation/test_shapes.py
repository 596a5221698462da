"""An evaluation that keeps the proportions of each category."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bright_evaluation import Brightness
from tests.data.conftest import made_image, mask, save
from vlmad_jax import WinCLIP, load_clip
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.evaluation.keys import resizing_key
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.shapes import ShapedDetector
from vlmad_jax.methods import MethodOptions
from vlmad_jax.metrics import evaluate as metrics_of

pytestmark = pytest.mark.usefixtures("evaluating")
SIZES = {"bottle": (12, 10), "nut": (10, 17), "screw": (24, 20)}  # width, height


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Three categories, two of the same proportions, each with a good and a scratched test image."""
    for category, size in SIZES.items():
        root = tmp_path / "shapes" / category
        for number, place in enumerate(("train/good", "test/good", "test/scratch")):
            save(made_image(number, size), root / place / "000.png")
        save(mask(size=size), root / "ground_truth/scratch/000_mask.png")
    return tmp_path / "shapes"


@pytest.fixture
def config(shapes: Path, weights: Path) -> EvaluationConfig:
    options = MethodOptions(window_sizes=(2,))
    return EvaluationConfig(
        *("winclip", str(weights), "folder", str(shapes)), batch_size=2, options=options, resize="shorter"
    )


def test_metrics_are_those_of_images_and_masks_cut_alike(config: EvaluationConfig, tmp_path: Path) -> None:
    found = evaluate(config, tmp_path / "out", save_maps=True)
    assert found["config"]["resize"] == "shorter"
    assert found["config"]["resized"] == {
        "bottle": [[64, 76], [64, 72]],
        "nut": [[108, 64], [104, 64]],
        "screw": [[64, 76], [64, 72]],
    }
    assert found["config"]["setting"]["image_size"] == 64
    assert json.loads((tmp_path / "out/config.json").read_text()) == found["config"]
    made = WinCLIP(load_clip(config.weights), (2,), (104, 64))
    images, masks = [], []
    for path in ("test/good", "test/scratch"):
        with Image.open(Path(config.data_dir) / "nut" / path / "000.png") as image:
            images.append(np.asarray(image.resize((64, 108), Image.Resampling.BICUBIC))[:104])
    drawn = mask(value=1, size=SIZES["nut"]).resize((64, 108), Image.Resampling.NEAREST)
    masks = [np.zeros((104, 64), np.uint8), np.asarray(drawn)[:104]]
    scores = made.score(made.prepare("nut"), np.stack(images))
    by_hand = metrics_of(np.asarray(scores.image), np.array([0, 1]), np.asarray(scores.map), np.stack(masks))
    assert found["categories"]["nut"] == pytest.approx(by_hand, abs=1e-6)
    with Image.open(tmp_path / "out/maps/nut/scratch/000.png") as drawing:
        assert drawing.height > drawing.width / 3  # three panels, each higher than it is wide


def test_reference_images_have_the_shape_of_their_category(
    config: EvaluationConfig, stub: list[Brightness], tmp_path: Path
) -> None:
    evaluate(dataclasses.replace(config, shots=1), tmp_path / "out")
    evaluate(config, tmp_path / "zero")
    square = evaluate(dataclasses.replace(config, resize="square"), tmp_path / "square")
    assert not {"resize", "resized"} & set(square["config"])


def test_one_program_is_compiled_for_each_shape(weights: Path, compilations: list[str]) -> None:
    shaped = ShapedDetector(WinCLIP(load_clip(weights), (2,)))
    scorer = Scorer(shaped, 2)
    state = scorer.copy(shaped.at((64, 64)).prepare("nut"))
    counts = []
    for size in ((64, 72), (104, 64), (64, 72), (104, 64)):
        images = scorer.put(np.zeros((2, *size, 3), np.uint8))
        before = len(compilations)
        assert scorer.score(state, images).map.shape == (2, *size)
        counts.append(len(compilations) - before)
    assert counts[2:] == [0, 0]
    assert shaped.at((64, 72)) is shaped.at((64, 72))
    assert shaped.at((64, 64)) is shaped.detector


def test_keys_change_with_the_shape_and_the_filter() -> None:
    assert resizing_key(Resizing.to(64)) == []
    assert resizing_key(Resizing.to(64, "bilinear")) == ["bilinear"]
    others = [Resizing.to((64, 72)), Resizing((64, 76), (64, 72)), Resizing((64, 72), (64, 72), "bilinear")]
    assert len({tuple(resizing_key(how)) for how in others}) == 3
