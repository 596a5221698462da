"""The common parts of all methods: names, reference images and bundled parameters."""

import jax
import numpy as np
import pytest

from tests.golden import golden_clip
from vlmad_jax import InputError, load_clip
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import LEARNING, METHODS, MethodOptions, Scores
from vlmad_jax.methods.detector import check_finite

GOOD = np.zeros((1, 64, 64, 3), np.uint8)


def test_names():
    assert all(kind.name == name for name, kind in METHODS.items())
    assert set(LEARNING) < set(METHODS)
    assert set(hub.BUNDLED_PARAMS) < set(LEARNING)


@pytest.mark.parametrize("name", METHODS)
def test_missing_or_unused_references_raise(name):
    detector = METHODS[name].for_backbone(golden_clip("winclip"))
    if detector.references == "always":
        with pytest.raises(InputError, match=rf"{name} needs reference images; .* --shots=4"):
            detector.prepare("nut")
    if detector.references == "never":
        with pytest.raises(
            InputError, match=rf"{name} takes no reference images; use experiments\.zero_shot"
        ):
            detector.prepare("nut", GOOD, {})
    METHODS[name].check_references(given=detector.references != "never")
    if detector.references == "if given":
        METHODS[name].check_references(given=False)


@pytest.mark.parametrize("name", [*hub.BUNDLED_PARAMS, "hybrid"])
def test_bundled_parameters_fit_the_bundled_weights(name):
    clip = load_clip(hub.BUNDLED)
    detector, params = METHODS[name].from_options(clip, MethodOptions())
    fresh = detector.init(jax.random.key(0))
    assert {k: x.shape for k, x in params.items()} == {k: x.shape for k, x in fresh.items()}
    assert all(np.abs(np.asarray(params[k]) - np.asarray(fresh[k])).max() > 0.01 for k in fresh)  # learned


@pytest.mark.parametrize("broken", ["image", "map"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_name_the_weights(broken, value):
    detector = METHODS["winclip"].for_backbone(golden_clip("winclip"))
    scores = Scores(np.zeros(2, np.float32), np.zeros((2, 3, 3), np.float32))
    check_finite(scores, detector.backbone)
    getattr(scores, broken)[-1] = value
    with pytest.raises(
        InputError, match="winclip: gives scores that are not finite with dtype float32; give"
    ):
        check_finite(scores, detector.backbone)


def test_scores_are_checked_before_use(monkeypatch):
    """In the scorer of fit, predict and the page."""
    detector = METHODS["winclip"].for_backbone(golden_clip("winclip"))
    scorer = Scorer(TiledDetector(detector, Tiling.of(1, 1, 64)), 1)
    monkeypatch.setattr(scorer, "_score", lambda *_: Scores(np.full(1, np.nan), np.zeros((1, 64, 64))))
    with pytest.raises(InputError, match="gives scores that are not finite"):
        scorer.score_all({}, np.zeros((1, 64, 64, 3), np.uint8))
