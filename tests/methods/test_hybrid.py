"""The hybrid against a combination of its parents' parts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import case, difference, golden_clip
from tests.methods.detectors import published_prompts, shallow_anomalyclip
from vlmad_jax import Hybrid, InputError
from vlmad_jax.methods import MethodOptions
from vlmad_jax.scoring.windows import sliding_windows

IMAGES = case("anomalyclip").arrays["images_uint8"]


@functools.cache
def detector() -> Hybrid:
    return Hybrid(shallow_anomalyclip().clip, shallow_anomalyclip(), window_sizes=(3,))


def params() -> dict[str, np.ndarray]:
    """The authors' prompts for two text layers."""
    return {**published_prompts(), "deep": published_prompts()["deep"][:1]}


def window_scores(text: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability of "anomalous" of every window, encoded by itself, and the windows' patches."""
    clip = shallow_anomalyclip().clip
    vision = clip.vision().bind({"params": clip.params["vision"]})
    tokens = vision.embed(jnp.asarray(IMAGES))
    windows = sliding_windows(detector().winclip.grid, size)
    encode = jax.jit(vision.encode_tokens)
    embeddings = [
        np.asarray(encode(tokens[:, np.concatenate([[0], window + 1])]), np.float64) for window in windows
    ]
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (np.stack(embeddings, 1), text)]
    cosines = unit[0] @ unit[1].T  # (B, W, 2)
    return 1 / (1 + np.exp((cosines[..., 0] - cosines[..., 1]) / 0.07)), windows


def test_scores_are_the_parents_parts():
    clip_grid = detector().winclip.grid
    parent = shallow_anomalyclip().score(shallow_anomalyclip().prepare(params=params()), IMAGES)
    state = detector().prepare("nut", params=params())
    text = np.asarray(state.text, np.float64)
    scales = [np.tile(np.asarray(parent.image, np.float64)[:, None, None], (1, *clip_grid))]
    scores, windows = window_scores(text, 3)
    patches = [
        [1 / np.mean([1 / score[w] for w in range(len(windows)) if p in windows[w]]) for score in scores]
        for p in range(clip_grid[0] * clip_grid[1])
    ]
    scales.append(np.array(patches).T.reshape(-1, *clip_grid))
    window_map = 1 / np.mean([1 / scale for scale in scales], axis=0)
    found = detector().score(state, IMAGES)
    expected = (np.asarray(parent.image) + window_map.max(axis=(1, 2))) / 2
    np.testing.assert_allclose(found.image, expected, atol=1e-5)
    (side, _), layers = detector().size, len(shallow_anomalyclip().feature_layers)
    upsampled = jax.image.resize(
        jnp.asarray(window_map, jnp.float32), (len(IMAGES), side, side), "linear", antialias=False
    )
    assert difference(found.map, (np.asarray(parent.map) / layers + upsampled) / 2) <= 1e-5


def test_settings_and_unsupported_input():
    assert detector().setting == shallow_anomalyclip().setting | {"window_sizes": [3]}
    with pytest.raises(InputError, match="hybrid takes no reference images"):
        detector().prepare("nut", IMAGES, params())
    with pytest.raises(InputError, match="needs learned prompts"):
        detector().prepare("nut")
    with pytest.raises(InputError, match="window size 99 does not fit"):
        dataclasses.replace(detector(), window_sizes=(99,))
    with pytest.raises(InputError, match="--params is missing: anomalyclip needs learned prompts"):
        Hybrid.from_options(golden_clip("anomalyclip"), MethodOptions())
