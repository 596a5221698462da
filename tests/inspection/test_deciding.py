"""Which scores a threshold is made of, and what is said of it."""

import numpy as np
import pytest

from tests.inspection.brightness import Brightness, NoClip
from vlmad_jax.inspection.deciding import Rule, decide
from vlmad_jax.inspection.held_out import GoodScores
from vlmad_jax.inspection.threshold import limit_of

OWN = np.linspace(0.1, 0.3, 10)[:, None]
SCORES = np.concatenate([OWN, OWN + 0.1, OWN + 0.2], axis=1)  # ten images with two copies each
ALL = GoodScores(SCORES, SCORES / 2, SCORES / 4)


@pytest.mark.parametrize(("source", "used"), [("own", OWN), ("augmented", SCORES)])
def test_the_threshold_is_made_of_the_scores_that_are_asked_for(source: str, used: np.ndarray) -> None:
    decision, told = decide(Rule(0.1, source, 2, 10), Brightness(NoClip()), ALL)
    expected = {
        "own": limit_of(OWN, 0.1, 1.0).value,
        "augmented": limit_of(SCORES, 0.1, 1.0).value,
    }
    assert told["thresholds"] == expected
    assert expected["own"] < expected["augmented"]
    assert decision.threshold == expected[source]
    assert decision.pixel_threshold == limit_of(used / 2, 0.1, 1.0).value
    assert decision.pixel_low == pytest.approx(SCORES.mean() / 4)
    shares = {"own": {"own": 0.0, "augmented": 0.75}, "augmented": {"own": 0.0, "augmented": 0.15}}
    assert told["above"] == shares[source]  # of 10 images, and of their 20 copies
    assert told["text"] == "; ".join(told["lines"])


def test_of_one_image_there_are_only_copies() -> None:
    one = GoodScores(*(x[:1] for x in ALL))
    decision, told = decide(Rule(0.1, "own", 3, 1), Brightness(NoClip()), one)
    assert told["thresholds"]["own"] == told["thresholds"]["augmented"] == decision.threshold
    assert told["above"]["own"] is None
    assert [line.partition(":")[0] for line in told["lines"]] == [
        "threshold",
        "above it",
        "wanted",
        "rests on",
    ]
    assert "; scored by a memory of the one image" in told["lines"][1]
