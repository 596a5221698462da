"""The option feature_layers: evaluations and fitted detectors compare other layers than the method's own."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import made_image, save
from tests.experiments.command import ROOT, here
from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.data import load_dataset
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.masks import read_masks, resize_mask
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.inspection.saved import load_detector
from vlmad_jax.methods import METHODS, AnomalyCLIP, Hybrid, MethodOptions
from vlmad_jax.metrics import evaluate as metrics_of

pytestmark = pytest.mark.usefixtures("evaluating")
WEIGHTS = ROOT / "tests/golden/anomalyclip"  # six layers, 96 pixels
PROMPTS = WEIGHTS / "prompts.pth"
LAST = MethodOptions(feature_layers=(6,), params=str(PROMPTS))


def test_the_last_layer_alone_is_the_detector_made_by_hand(folder: Path, tmp_path: Path) -> None:
    config = EvaluationConfig(
        "anomalyclip", str(WEIGHTS), "folder", str(folder), ("bottle",), batch_size=5, options=LAST
    )
    found = evaluate(config, tmp_path / "last")
    assert found["config"]["feature_layers"] == found["config"]["setting"]["feature_layers"] == [6]
    every = dataclasses.replace(config, options=MethodOptions(params=str(PROMPTS)))
    whole = evaluate(every, tmp_path / "every")["categories"]["bottle"]
    last = found["categories"]["bottle"]
    assert last["image_auroc"] == whole["image_auroc"]  # maps alone use these layers
    assert abs(last["pixel_ap"] - whole["pixel_ap"]) > 1e-4

    learned = AnomalyCLIP.trained(load_clip(str(WEIGHTS)), PROMPTS)
    detector = dataclasses.replace(learned, feature_layers=(6,))
    samples = load_dataset("folder", str(folder), ("bottle",)).select("bottle", "test")
    images = np.stack([resize_image(open_image(sample.path), detector.size) for sample in samples])
    masks = [
        resize_mask(read_masks(x.masks), detector.size) if x.masks else np.zeros(detector.size)
        for x in samples
    ]
    scores = detector.score(detector.prepare(params=learned.load_params(PROMPTS)), images)
    labels = np.array([sample.label for sample in samples])
    expected = metrics_of(np.asarray(scores.image), labels, np.asarray(scores.map), np.stack(masks))
    for name, value in last.items():
        assert value == pytest.approx(expected[name], abs=1e-5), name


def test_the_hybrid_passes_them_on() -> None:
    clip = load_clip(str(WEIGHTS))
    assert Hybrid.from_options(clip, LAST)[0].anomalyclip.feature_layers == (6,)
    assert Hybrid.from_options(clip, MethodOptions(params=str(PROMPTS)))[0].anomalyclip.feature_layers != (6,)


@pytest.mark.parametrize("name", ["patchcore", "padim", "spade", "cutpaste"])
def test_methods_with_references_compare_them(name: str) -> None:
    clip = load_clip(str(WEIGHTS))
    default = METHODS[name].for_backbone(clip)
    made, _ = METHODS[name].from_options(clip, MethodOptions(feature_layers=(5, 6)))
    assert default.setting != made.setting == default.setting | {"feature_layers": [5, 6]}
    assert METHODS[name].from_options(clip, MethodOptions())[0].setting == default.setting
    with pytest.raises(InputError, match="--feature_layers=7: feature layer 7 does not fit this backbone"):
        METHODS[name].from_options(clip, MethodOptions(feature_layers=(7,)))
    if name == "patchcore":
        images = np.random.default_rng(0).integers(0, 256, (2, *default.size, 3), dtype=np.uint8)
        scores = [x.score(x.prepare("nut", images[:1]), images[1:]).map for x in (default, made)]
        assert np.abs(np.asarray(scores[0]) - np.asarray(scores[1])).max() > 0.1


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("7", "--feature_layers=7: feature layer 7 does not fit this backbone; give 1 to 6"),
        ("0,6", "--feature_layers=0,6: feature layer 0 does not fit this backbone; give 1 to 6"),
        ("6,6", "--feature_layers=6,6: feature layers (6, 6) have to be one or more, each once"),
        ("", "--feature_layers=: feature layers () have to be one or more, each once"),
        ("last", "--feature_layers=last are not whole numbers; give for example 2,3"),
    ],
)
def test_layers_that_do_not_fit(layers: str, message: str, folder: Path, tmp_path: Path, capsys) -> None:
    flags = [f"--weights={WEIGHTS}", f"--params={PROMPTS}", "--dataset=folder", f"--data_dir={folder}"]
    out = tmp_path / "out"
    done = here(
        capsys, "zero_shot", "--method=anomalyclip", *flags, f"--feature_layers={layers}", f"--out={out}"
    )
    assert (done.code, done.stderr.splitlines()[-1]) == (1, f"error: {message}")
    done = here(capsys, "paper", *flags, f"--feature_layers={layers}", f"--out={out}")
    assert (done.code, done.stderr.splitlines()[-1]) == (1, f"error: {message}")
    assert not out.exists()


def test_a_fitted_detector_keeps_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(made_image(1), tmp_path / "good/000.png")
    flags = ["--method=anomalyclip", "--object=nut", f"--weights={WEIGHTS}", f"--params={PROMPTS}"]
    flags += [f"--references={tmp_path / 'good'}", "--augmentations=1", f"--out={tmp_path / 'nut.vlmad'}"]
    done = here(capsys, "fit", *flags, "--feature_layers=5,6")
    assert done.code == 0, done.stderr
    described = json.loads((tmp_path / "nut.vlmad/detector.json").read_text())
    assert described["options"]["feature_layers"] == described["setting"]["feature_layers"] == [5, 6]
    assert load_detector(tmp_path / "nut.vlmad").model.detector.feature_layers == (5, 6)
