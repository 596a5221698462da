"""int8 matrices and activations: rounding, exact products, and where they raise errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import golden_clip
from vlmad_jax import InputError
from vlmad_jax.backbones.clip import save_clip
from vlmad_jax.backbones.precision import multiply_quantised, quantise


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_rounding_by_hand() -> None:
    matrix = jnp.array([[1.0, -2.0, 254.0], [0.0, 0.0, 0.0], [-127.0, 63.4, 0.6]])
    quantised, scale = quantise(matrix, 1)
    assert quantised.dtype == jnp.int8
    assert quantised.tolist() == [[0, -1, 127], [0, 0, 0], [-127, 63, 1]]
    assert scale[::2].tolist() == [[2.0], [1.0]]
    assert np.isfinite(scale[1, 0])
    columns, scale = quantise(matrix.T, 0)
    np.testing.assert_array_equal(columns, quantised.T)
    assert scale.shape == (1, 3)


def test_rounding_is_at_most_half_a_step() -> None:
    matrix = draw(50, 30)
    quantised, scale = quantise(jnp.asarray(matrix), 0)
    assert np.abs(np.asarray(quantised)).max(axis=0).tolist() == [127] * 30
    assert (np.abs(quantised * scale - matrix) <= 0.5001 * scale).all()


def test_products_are_those_of_whole_numbers() -> None:
    """float32 and bfloat16 cannot add up 4,096 terms of up to 127 x 127 exactly."""
    rows, matrix = 3 + draw(5, 4096), 3 + draw(4096, 7)
    weights, scale = quantise(jnp.asarray(matrix), 0)
    quantised, row_scale = quantise(jnp.asarray(rows), 1)
    whole = np.asarray(quantised, np.int64) @ np.asarray(weights, np.int64)
    assert whole.max() > 2**23
    expected = whole * np.asarray(row_scale, np.float64) * np.asarray(scale, np.float64)
    product = multiply_quantised(jnp.asarray(rows), weights, scale)
    np.testing.assert_allclose(product, expected, rtol=3e-7)
    np.testing.assert_allclose(product, rows.astype(np.float64) @ matrix, rtol=2e-3)


def test_matrices_take_a_quarter_and_the_rest_is_unchanged() -> None:
    single, small = golden_clip("winclip"), golden_clip("winclip", "int8")
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(small.params)}
    kernels = 0
    for path, leaf in jax.tree.leaves_with_path(single.params):
        name = jax.tree_util.keystr(path)
        stored = np.asarray(flat.pop(name))
        if path[-1].key != "kernel":
            np.testing.assert_array_equal(stored, np.asarray(leaf), strict=True)
            continue
        kernels += 1
        assert stored.dtype == jnp.int8
        scale = np.asarray(flat.pop(name.replace("kernel", "scale")))
        assert (np.abs(stored * scale - np.asarray(leaf)) <= 0.5001 * scale).all()
    assert not flat
    assert kernels == 7 * 6 + 3  # six a layer; the patch embedding and two projections


def test_names_of_the_backbone() -> None:
    """The identity is the same in any dtype, and the fingerprint is not."""
    single, small = golden_clip("winclip"), golden_clip("winclip", "int8")
    assert small.identity == single.identity
    assert small.fingerprint not in (single.fingerprint, golden_clip("winclip", "bfloat16").fingerprint)


def test_sentences_are_near_those_of_float32() -> None:
    """Measured cosines are 0.9996 or more."""
    sentences = ["a photo of a bottle.", "a damaged metal nut"]
    single, small = (golden_clip("winclip", x).encode_text(sentences) for x in ("float32", "int8"))
    cosines = (single * small).sum(axis=1) / np.linalg.norm(single, axis=1) / np.linalg.norm(small, axis=1)
    assert (cosines > 0.999).all()
    assert (cosines < 1 - 1e-7).all()


def test_it_is_for_inference_alone(tmp_path) -> None:
    clip = golden_clip("winclip", "int8")
    vision = clip.vision().bind({"params": clip.params["vision"]})
    refused = "dtype int8 is rounded and has no gradient; train with float32 or bfloat16"
    with pytest.raises(InputError, match=refused):
        jax.grad(lambda tokens: vision.encode_tokens(tokens).sum())(jnp.ones((1, 3, 128)))
    with pytest.raises(InputError, match=r"int8 matrices .* load it with dtype float32"):
        save_clip(clip, tmp_path / "clip")
    assert not (tmp_path / "clip").exists()
