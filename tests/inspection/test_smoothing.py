"""Sequences: maps smoothed by a known formula, decisions with hysteresis."""

import numpy as np
import pytest

from tests.inspection.brightness import detector
from vlmad_jax import InputError
from vlmad_jax.inspection.decision import Decision
from vlmad_jax.inspection.judged import Judged, Key
from vlmad_jax.inspection.result import Result
from vlmad_jax.inspection.smoothing import Smoothing

DECISION = Decision(threshold=0.5, scale=0.1, pixel_threshold=0.5, pixel_low=0.0)


def sequence(scores: list[float | None]) -> list[Judged]:
    frames = []
    for number, score in enumerate(scores):
        if score is None:
            frames.append(Judged.failed(Key("a.mp4", number), "is broken"))
            continue
        result = Result.judged(score, np.full((2, 2), score, np.float32), (4, 4), DECISION)
        frames.append(Judged(Key("a.mp4", number), None, result, 1.0))
    return frames


def decisions(smoothing: Smoothing, scores: list[float | None]) -> str:
    results = [judged.result for judged in smoothing.apply(sequence(scores))]
    return "".join("?" if result is None else "b" if result.bad else "g" for result in results)


def test_scores_and_maps_follow_exponentially():
    found = list(Smoothing(weight=0.25, release=0.5).apply(sequence([0.0, 1.0, 1.0, None, 0.0])))
    expected = [0, 0.25, 0.4375, None, 0.328125]
    for judged, value in zip(found, expected, strict=True):
        assert judged.result is None if value is None else judged.result.image == pytest.approx(value)
        if judged.result is not None:
            np.testing.assert_allclose(judged.result.canvas_map, value, rtol=1e-6)
            assert judged.result.canvas_map.dtype == np.float32
            assert judged.result.probability == pytest.approx(DECISION.probability(value))


def test_a_bad_frame_stays_bad_until_it_is_clear():
    flickering = [0.4, 0.52, 0.48, 0.52, 0.48, 0.40, 0.48, 0.52]
    assert decisions(Smoothing(1, 0.5), flickering) == "gbgbgggb"
    # The probability is 0.45 at 0.48 and 0.27 at 0.40.
    assert decisions(Smoothing(1, 0.3), flickering) == "gbbbbggb"
    assert decisions(Smoothing(1, 0.2), flickering) == "gbbbbbbb"
    assert decisions(Smoothing(1, 0.3), [0.52, None, 0.48, 0.1, 0.48]) == "b?bgg"


def test_one_noisy_frame_is_smoothed_away():
    assert decisions(Smoothing(1, 0.3), [0.1, 0.1, 0.6, 0.1]) == "ggbg"
    assert decisions(Smoothing(0.5, 0.3), [0.1, 0.1, 0.6, 0.1]) == "gggg"


@pytest.mark.parametrize(("weight", "release"), [(0, 0.3), (1.1, 0.3), (0.5, -0.1), (0.5, 0.6)])
def test_settings_out_of_range_are_refused(weight: float, release: float):
    with pytest.raises(InputError, match=r"--(smoothing|release)=.*: give "):
        Smoothing(weight, release)


def test_results_of_a_detector_can_be_followed():
    found = detector(threshold=0.5)([np.full((8, 8), level, np.uint8) for level in (0, 255)])
    second = Smoothing(0.5, 0.3).follow(*found)
    assert second.image == pytest.approx(0.5)
    assert second.map.shape == (8, 8)
