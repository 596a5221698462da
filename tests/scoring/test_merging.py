"""Token merging against NumPy loops over single tokens, in float64."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.benchmark.settings import SMALL
from tests.golden import difference
from vlmad_jax.backbones.clip import random_clip
from vlmad_jax.backbones.config import CLIPConfig
from vlmad_jax.backbones.plan import CPU, using
from vlmad_jax.scoring.merging import encode_merging, merge_tokens

# Three layers, of which two merge.
CONFIG: CLIPConfig = dataclasses.replace(SMALL, vision=dataclasses.replace(SMALL.vision, layers=3))


def merged_by_loops(
    hidden: np.ndarray, keys: np.ndarray, sizes: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return one image's tokens (T, D), keys (T, d) and sizes (T,)."""
    tokens = range(len(hidden))
    evens, odds = [t for t in tokens if t % 2 == 0], [t for t in tokens if t % 2]
    joins = []
    for a in evens[1:]:
        cosines = [keys[a] @ keys[b] / np.linalg.norm(keys[a]) / np.linalg.norm(keys[b]) for b in odds]
        if odds:
            joins.append((max(cosines), a, odds[int(np.argmax(cosines))]))
    joins = sorted(joins, reverse=True)[:number]
    gone = {a for _, a, _ in joins}
    groups = [[t] for t in evens if t not in gone]
    groups += [[b, *(a for _, a, partner in joins if partner == b)] for b in odds]
    means = [np.average(hidden[group], axis=0, weights=sizes[group]) for group in groups]
    return np.stack(means), np.array([sizes[group].sum() for group in groups])


def encoded_by_loops(params: dict, tokens: np.ndarray, number: int) -> np.ndarray:
    """Return the embedding (E,) of one sequence (T, D), as Bolya et al. describe it."""
    vision = CONFIG.vision

    def norm(x: np.ndarray, of: dict) -> np.ndarray:
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + CONFIG.layer_norm_eps)
        return (x - x.mean(axis=-1, keepdims=True)) / spread * of["scale"] + of["bias"]

    def linear(x: np.ndarray, of: dict) -> np.ndarray:
        return x @ of["kernel"] + of.get("bias", 0)

    x, sizes = norm(tokens, params["ln_pre"]), np.ones(len(tokens))
    for layer in (params[f"layer{n + 1:02d}"] for n in range(vision.layers)):
        asked = norm(x, layer["ln_1"])
        q, k, v = (
            linear(asked, layer["attention"][name]).reshape(len(x), vision.heads, -1)
            for name in ("query", "key", "value")
        )
        answers = np.zeros_like(v)
        for head in range(vision.heads):
            weights = sizes * np.exp(q[:, head] @ k[:, head].T / np.sqrt(q.shape[-1]))
            answers[:, head] = weights / weights.sum(axis=-1, keepdims=True) @ v[:, head]
        x = x + linear(answers.reshape(len(x), -1), layer["attention"]["out"])
        x, sizes = merged_by_loops(x, k.mean(axis=1), sizes, number)
        up = linear(norm(x, layer["ln_2"]), layer["mlp"]["up"])
        x = x + linear(up / (1 + np.exp(-1.702 * up)), layer["mlp"]["down"])
    return linear(norm(x[0], params["ln_post"]), params["projection"])


@pytest.fixture(scope="module")
def encode():
    """A function (tokens, merge) -> embeddings, its float64 parameters, and the compiled module."""
    clip = random_clip(dataclasses.replace(CONFIG, activation="quick_gelu"))
    vision = clip.vision().bind({"params": clip.params["vision"]})
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), clip.params["vision"])

    def encode(tokens: jax.Array, merge: int = 0) -> jax.Array:
        return encode_merging(vision, tokens, merge) if merge else vision.encode_tokens(tokens)

    return jax.jit(encode, static_argnames="merge"), params, vision


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("tokens", "number"), [(2, 1), (3, 1), (5, 1), (5, 9), (10, 2), (17, 3)])
def test_tokens_that_are_merged(tokens: int, number: int) -> None:
    hidden, keys = draw(3, tokens, 4), draw(3, tokens, 2)
    sizes = 1 + np.arange(3 * tokens, dtype=np.float32).reshape(3, tokens)
    merged, left = jax.jit(merge_tokens, static_argnames="number")(hidden, keys, sizes, number)
    assert left.shape == (3, tokens - min(number, (tokens - 1) // 2))
    expected = [merged_by_loops(*image, number) for image in zip(hidden, keys, sizes, strict=True)]
    np.testing.assert_allclose(merged, [x for x, _ in expected], rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(left, [x for _, x in expected])


@pytest.mark.parametrize(("tokens", "number"), [(5, 1), (10, 2)])
def test_an_encoder_that_merges(encode, tokens: int, number: int) -> None:
    embedded = draw(2, tokens, 16)
    expected = [encoded_by_loops(encode[1], x, number) for x in embedded.astype(np.float64)]
    assert difference(encode[0](embedded, number), expected) <= 5e-6  # of 2
    assert difference(encode[0](embedded), expected) > 0.05


def test_attention_head_by_head_changes_nothing(encode) -> None:
    """Long sequences on a CPU are computed head by head, with the sizes of their own image."""
    embedded = draw(2, 5, 16)
    together = encode[0](embedded, 1)
    with using(dataclasses.replace(CPU, attention_pairs=1)):
        apart = jax.jit(lambda tokens: encode_merging(encode[2], tokens, 1))(embedded)
    np.testing.assert_allclose(apart, together, atol=1e-6)


def test_nothing_to_merge_changes_nothing(encode) -> None:
    embedded = draw(2, 2, 16)
    np.testing.assert_allclose(encode[0](embedded, 3), encode[0](embedded), atol=1e-6)


def test_merging_equal_tokens_changes_nothing(encode) -> None:
    """A token of size s counts as s equal tokens."""
    embedded = np.repeat(draw(2, 2, 16), [1, 8], axis=1)
    np.testing.assert_allclose(encode[0](embedded, 3), encode[0](embedded), atol=3e-6)
