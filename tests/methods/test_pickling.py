"""Pickling, deep copies and representations of backbones and detectors."""

import copy
import pickle

import numpy as np
import pytest

from tests.golden import golden_clip
from tests.methods.detectors import IMAGES, REFERENCES, shallow_winclip
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection import FittedDetector
from vlmad_jax.inspection.detector import Decision
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import METHODS
from vlmad_jax.methods.detector import TextDetector
from vlmad_jax.scoring.prompts import PromptEnsemble

COPIES = {"pickle": lambda x: pickle.loads(pickle.dumps(x)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_scores_the_same(way):
    detector = shallow_winclip()
    state = detector.prepare("nut", REFERENCES)
    scores = detector.score(state, IMAGES)  # compiled programs are kept from here on
    other = COPIES[way](detector)
    assert "_score" in vars(detector)
    assert "_score" not in vars(other)
    for one, two in zip(scores, other.score(other.prepare("nut", REFERENCES), IMAGES), strict=True):
        np.testing.assert_array_equal(one, two)
    model = TiledDetector(detector, Tiling.of(1, 1, 64))
    fitted = FittedDetector(Scorer(model, 2), state, Decision(0.5, 1, 0.5, 0), {}, "")
    result, again = (x(IMAGES[0]) for x in (fitted, COPIES[way](fitted)))
    assert (result.image, result.bad) == (again.image, again.bad)
    np.testing.assert_array_equal(result.map, again.map)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_backbone_in_any_precision(dtype):
    clip = golden_clip("winclip", dtype)
    assert clip.tokenizer.digest
    for other in (pickle.loads(pickle.dumps(clip)), copy.deepcopy(clip)):
        assert other.fingerprint == clip.fingerprint
        assert (other.config, other.dtype, other.name) == (clip.config, clip.dtype, clip.name)
        assert other.truncated(["a nut"]) == []


@pytest.mark.parametrize("name", METHODS)
def test_every_method(name):
    detector = METHODS[name].for_backbone(golden_clip("winclip"))
    _ = detector._score
    assert pickle.loads(pickle.dumps(detector)).setting == detector.setting
    text = repr(detector)
    field = "clip" if isinstance(detector, TextDetector) else "backbone"
    assert text.startswith(f"{type(detector).__name__}({field}=CLIP(")
    assert len(text) < 1500
    assert "Array" not in text
    assert "array(" not in text


def test_representations():
    text = repr(golden_clip("winclip"))
    assert "images of 64 pixels in patches of 8" in text
    assert "dtype='float32'" in text
    assert len(text) < 400
    scorer = Scorer(TiledDetector(shallow_winclip(), Tiling.of(1, 1, 64)), 2)
    text = repr(FittedDetector(scorer, {}, Decision(0.25, 1, 0.5, 0), {"object": "metal nut"}, ""))
    assert text.startswith("FittedDetector(winclip of 'metal nut', threshold 0.25, images of 64 x 64 pixels,")
    assert len(text.splitlines()) <= 4
    assert repr(PromptEnsemble(("{}",), ("bad {}", "{} with flaw"), ("a {}.",))) == (
        "PromptEnsemble(1 normal and 2 anomalous states, 1 templates)"
    )
