"""Thresholds against numbers that are known otherwise, and the text that describes them."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.inspection.brightness import Brightness, NoClip
from vlmad_jax import InputError
from vlmad_jax.inspection.detector import Decision
from vlmad_jax.inspection.held_out import ReferenceScores
from vlmad_jax.inspection.threshold import Rule, check_rate, decide, needed, threshold_of

RNG = np.random.default_rng(0)


def test_with_enough_images_it_is_the_conformal_rank():
    scores = RNG.permutation(np.arange(1.0, 200.0))[:, None]  # 199 of them
    threshold = threshold_of(scores, 0.01)
    assert (threshold.value, threshold.rule, threshold.supported) == (
        198,
        "rank",
        1 / 200,
    )  # ceil(200 x 0.99)
    assert threshold_of(scores, 0.1).value == 180
    assert [needed(rate) for rate in (0.5, 0.1, 0.05, 0.01, 0.001)] == [1, 9, 19, 99, 999]
    assert threshold_of(scores[:99], 0.01).value == scores[:99].max()
    assert threshold_of(scores[:98], 0.01).rule == "normal tail"


def test_augmentations_that_score_higher_raise_the_rank():
    own = RNG.permutation(np.arange(1.0, 200.0))[:, None]
    assert threshold_of(np.concatenate([own, own + 50], axis=1), 0.01).value == 246  # of 398, the 395th
    assert threshold_of(np.concatenate([own, own - 50], axis=1), 0.01).value == 198


def test_with_few_it_is_the_prediction_limit_of_a_normal_sample():
    scores = np.array([[3.0], [4.0], [8.0], [5.0]])
    expected = scores.mean() + stats.t.ppf(0.99, 3) * scores.std(ddof=1) * math.sqrt(1 + 1 / 4)
    threshold = threshold_of(scores, 0.01)
    assert threshold.value == pytest.approx(expected)
    assert (threshold.rule, threshold.supported) == ("normal tail", 0.2)
    assert threshold.scale == pytest.approx(scores.std(ddof=1) * math.sqrt(3) / math.pi)


def test_augmentations_do_not_count_as_images():
    own = np.array([[3.0], [4.0], [8.0], [5.0]])
    alone = threshold_of(own, 0.01).value
    assert threshold_of(np.repeat(own, 9, axis=1), 0.01).value == pytest.approx(alone)  # copies add nothing
    versions = own + np.array([-1.0, 1.0, 0.0])
    between, within = 3 * own.var(ddof=1), 1.0  # mean squares, of 3 and of 8 degrees of freedom
    variance = between / 3 + within * 2 / 3
    freedom = variance**2 / ((between / 3) ** 2 / 3 + (within * 2 / 3) ** 2 / 8)
    expected = 5 + stats.t.ppf(0.99, freedom) * math.sqrt(variance + between / 12)
    assert threshold_of(versions, 0.01).value == pytest.approx(expected)
    assert threshold_of(versions, 0.01).scale == pytest.approx(math.sqrt(3 * variance) / math.pi)


def test_the_wanted_rate_is_kept():
    for images, largest in ((5, math.inf), (20, math.inf), (150, math.inf), (8, 1.0)):
        exceeded = []
        for _ in range(300):
            between, within = RNG.normal(size=(images + 100, 1)), RNG.normal(size=(images + 100, 4))
            scores = 0.5 * between + within
            if largest == 1:
                scores = 1 / (1 + np.exp(-2 * scores))
            known, new = scores[:images], scores[images:, 0]
            exceeded.append((new > threshold_of(known, 0.05, largest).value).mean())
        assert 0.025 < np.mean(exceeded) < 0.06, (images, largest)


def test_it_stays_above_the_scores_and_below_their_bound():
    skewed = np.array([[0.1], [0.1], [0.1], [0.1], [0.1], [0.1], [0.1], [0.1], [0.1], [9.0]])
    assert threshold_of(skewed, 0.45).value == 9.0 or threshold_of(skewed, 0.45).rule == "rank"
    assert threshold_of(skewed, 0.08).value >= 9.0
    sure = np.array([[0.3, 0.99], [0.9, 0.2], [0.6, 0.999]])
    assert 0.9 < threshold_of(sure, 0.01, 1.0).value < 1 < threshold_of(sure, 0.01).value
    assert threshold_of(np.ones((3, 2)), 0.01, 1.0).value == 1


def test_one_image_and_no_spread():
    one = np.array([[1.0, 2.0, 3.0]])
    threshold = threshold_of(one, 0.01)
    assert threshold.value == pytest.approx(2 + stats.t.ppf(0.99, 2) * math.sqrt(1 + 1 / 3))
    assert (threshold.rule, threshold.supported) == ("one image", 0.5)
    still = threshold_of(np.full((4, 3), 0.25), 0.01)
    assert still.value == 0.25
    assert still.scale > 0


@pytest.mark.parametrize("rate", [0, -1, 0.6, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float):
    with pytest.raises(InputError, match=r"give a share above 0 and at most 0\.5"):
        check_rate(rate)


def test_probability_is_half_at_the_threshold_and_rises():
    decision = Decision(threshold=3.0, scale=0.5, pixel_threshold=1.0, pixel_low=0.0)
    assert decision.probability(3.0) == 0.5
    assert not decision.bad(3.0)
    assert decision.bad(np.nextafter(3.0, 4))
    assert decision.probability(4.0) == pytest.approx(1 / (1 + math.exp(-2)))
    found = [decision.probability(x) for x in np.linspace(1, 5, 50)]
    assert (np.diff(found) > 0).all()
    assert decision.probability(-1e9) == 0
    assert decision.probability(1e9) == 1


OWN = np.linspace(0.1, 0.3, 10)[:, None]
SCORES = np.concatenate([OWN, OWN + 0.1, OWN + 0.2], axis=1)  # ten images with two copies each
ALL = ReferenceScores(SCORES, SCORES / 2, SCORES / 4)


@pytest.mark.parametrize(("source", "used"), [("own", OWN), ("augmented", SCORES)])
def test_the_threshold_is_made_from_the_chosen_scores(source: str, used: np.ndarray) -> None:
    decision, described = decide(Rule(0.1, source, 2, 10), Brightness(NoClip()), ALL)
    expected = {
        "own": threshold_of(OWN, 0.1, 1.0).value,
        "augmented": threshold_of(SCORES, 0.1, 1.0).value,
    }
    assert described["thresholds"] == expected
    assert expected["own"] < expected["augmented"]
    assert decision.threshold == expected[source]
    assert decision.pixel_threshold == threshold_of(used / 2, 0.1, 1.0).value
    assert decision.pixel_low == pytest.approx(SCORES.mean() / 4)
    shares = {"own": {"own": 0.0, "augmented": 0.75}, "augmented": {"own": 0.0, "augmented": 0.15}}
    assert described["above"] == shares[source]  # of 10 images, and of their 20 copies
    assert described["text"] == "; ".join(described["lines"])


def test_one_image_has_only_copies() -> None:
    one = ReferenceScores(*(x[:1] for x in ALL))
    decision, described = decide(Rule(0.1, "own", 3, 1), Brightness(NoClip()), one)
    assert described["thresholds"]["own"] == described["thresholds"]["augmented"] == decision.threshold
    assert described["above"]["own"] is None
    assert [line.partition(":")[0] for line in described["lines"]] == [
        "threshold",
        "above it",
        "wanted",
        "rests on",
    ]
    assert "; scored by a memory of that image" in described["lines"][1]
