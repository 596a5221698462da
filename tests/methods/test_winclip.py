"""WinCLIP against anomalib."""

import jax
import numpy as np
import pytest

from tests.golden import case, difference
from tests.methods.detectors import IMAGES, REFERENCES, winclip

pytestmark = pytest.mark.usefixtures("as_people_run_it")
SCORES = 1e-5  # of the contract; measured: 2.4e-7
ALL_SIZES = (1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize("shots", ["zero", "few"])
def test_scores_and_maps(shots):
    detector = winclip((2, 3))
    state = detector.prepare("bottle", REFERENCES if shots == "few" else None)
    check_scores(detector.score(state, IMAGES), f"{shots}_shot", (2, 3))


def check_scores(scores, shots, window_sizes):
    arrays, sizes = case("winclip").arrays, "_".join(map(str, window_sizes))
    assert difference(scores.image, arrays[f"{shots}_scores_{sizes}"]) <= SCORES
    assert difference(scores.map, arrays[f"{shots}_maps_{sizes}"]) <= SCORES


def test_windows_of_all_sizes():
    """Embeddings of one image at a time, as for references, and their scores."""
    detector = winclip(ALL_SIZES)
    features = [detector._extract(IMAGES[number : number + 1]) for number in range(len(IMAGES))]
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *features)
    for size, embeddings in zip(ALL_SIZES, joined.windows, strict=True):
        assert difference(embeddings, case("winclip").arrays[f"window_embeddings_{size}"]) <= 2e-5
    for shots, references in (("zero_shot", None), ("few_shot", REFERENCES)):
        state = detector.prepare("bottle", references)
        check_scores(jax.jit(detector.score_features)(state, joined), shots, ALL_SIZES)
