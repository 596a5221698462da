"""The example of docs/adding_a_method.md is a method like any other."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from tests.experiments.command import ROOT, here
from tests.golden import case, golden_clip
from vlmad_jax import methods

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> type[methods.Detector]:
    """The class in the document, put among the methods."""
    text = (ROOT / "docs/adding_a_method.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line]) <= 40
    module: dict = {"__name__": "vlmad_jax.methods.clip_ac"}
    exec(compile(code, "docs/adding_a_method.md", "exec"), module)
    kind = module["ClipAC"]
    monkeypatch.setitem(methods.METHODS, kind.name, kind)
    return kind


def test_it_scores_as_it_says(example: type[methods.Detector]) -> None:
    clip, images = golden_clip("winclip"), case("winclip").arrays["images_uint8"]
    detector = example.for_backbone(clip)
    text = np.asarray(clip.encode_text(["a photo of a flawless nut", "a photo of a damaged nut"]), np.float64)
    seen = np.asarray(clip.encode_image(images), np.float64)
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (seen, text)]
    scores = detector.score(detector.prepare("nut"), images)
    np.testing.assert_allclose(scores.image, softmax(unit[0] @ unit[1].T / 0.07, axis=-1)[:, 1], atol=1e-5)
    assert scores.map.shape == (len(images), 64, 64)


def test_an_experiment_runs_it(
    example: type[methods.Detector],
    folder: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = [f"--weights={weights}", "--dataset=folder", f"--data_dir={folder}", f"--out={tmp_path / 'out'}"]
    done = here(capsys, "zero_shot", f"--method={example.name}", *flags)
    assert done.code == 0, done.stderr
    assert json.loads((tmp_path / "out/metrics.json").read_text())["method"] == "clip_ac"
    refused = here(capsys, "few_shot", f"--method={example.name}", *flags)
    assert refused.stderr.splitlines()[-1].startswith("error: clip_ac takes no reference images")
