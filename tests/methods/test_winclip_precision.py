"""The dtypes and the amount of work in WinCLIP's programs."""

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from tests.golden import difference, golden_clip
from tests.methods.detectors import IMAGES, REFERENCES, winclip
from vlmad_jax.benchmark import matmul_flop

# Primitives that only move or round numbers, or call a function whose equations are checked too.
MOVES = {
    "broadcast_in_dim",
    "concatenate",
    "convert_element_type",
    "custom_vjp_call",
    "gather",
    "jit",
    "pjit",
    "reshape",
    "scan",
    "slice",
    "squeeze",
    "transpose",
}


def equations(jaxpr: Jaxpr) -> Iterator[Any]:
    """Yield all equations of a program, including those of inner functions."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, ClosedJaxpr | Jaxpr):
                    yield from equations(getattr(item, "jaxpr", item))


@functools.cache
def state() -> Any:
    """Return whether a variable has a type that no dtype changes."""
    return winclip((3,)).prepare("bottle", REFERENCES)


def program(dtype: str) -> list[Any]:
    """The equations of few-shot scoring."""
    detector = winclip((3,), dtype)
    variables = {"params": detector.clip.params["vision"]}
    return list(equations(jax.make_jaxpr(detector.score_with)(variables, state(), IMAGES).jaxpr))


def types(variables) -> set[str]:
    return {variable.aval.dtype.name for variable in variables}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_accumulate_in_float32(dtype):
    products = [equation for equation in program(dtype) if equation.primitive.name == "dot_general"]
    read = Counter()
    for product in products:
        assert types(product.outvars) == {"float32"}
        assert product.params["preferred_element_type"] == jnp.float32
        (name,) = types(product.invars)
        read[name] += 1
        if name == "float32":
            assert product.params["precision"] == (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    # The patch embedding; for the image and for its windows four layers of eight products, and the
    # projection. In float32: the cosines of both with text and memory, and the upsampling of both sides.
    encoders = 1 + 2 * (4 * 8 + 1)
    cosines_and_upsampling = 2 + 2 + 2
    expected = Counter({dtype: encoders})
    expected["float32"] += cosines_and_upsampling
    assert read == expected


def test_all_but_products_is_float32():
    """Layer norms, softmax, activations and the residual stream are float32; products alone are bfloat16."""
    equations = program("bfloat16")
    brain = {e.primitive.name for e in equations if "bfloat16" in types([*e.invars, *e.outvars])}
    assert "dot_general" in brain
    assert brain - MOVES == {"dot_general"}
    computed = {e.primitive.name for e in equations if "float32" in types(e.outvars)}
    assert {"add", "div", "erfc", "exp", "mul", "reduce_max", "reduce_sum", "rsqrt", "sub"} <= computed


def test_int8_products_with_weights_and_bfloat16_products_of_attention():
    """Activations are rounded before a product with weights, and nothing else is computed in int8."""
    equations = program("int8")
    products = [equation for equation in equations if equation.primitive.name == "dot_general"]
    read = Counter()
    for product in products:
        (given,), (made,) = types(product.invars), types(product.outvars)
        read[given, made] += 1
    layers = 2 * 4  # of the image and of its windows
    weights, cosines_and_upsampling = 1 + layers * 6 + 2, 2 + 2 + 2
    assert read == {
        ("int8", "int32"): weights,
        ("bfloat16", "float32"): layers * 2,
        ("float32", "float32"): cosines_and_upsampling,
    }
    whole = {e.primitive.name for e in equations if "int8" in types([*e.invars, *e.outvars])}
    assert whole - MOVES == {"dot_general", "custom_jvp_call"}


def test_intermediates_of_a_bfloat16_model_are_float32():
    clip = golden_clip("winclip", "bfloat16")
    vision = clip.vision().bind({"params": clip.params["vision"]})
    out = jax.eval_shape(lambda images: vision(images), IMAGES)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(out)} == {"float32"}


@pytest.mark.parametrize(
    ("dtype", "image", "anomaly_map"), [("bfloat16", 1.5e-4, 4e-4), ("int8", 2e-3, 3.5e-3)]
)
def test_scores_are_near_those_of_float32(dtype, image, anomaly_map):
    """With references, measured on a CPU: scores 7.2e-5 and maps 1.9e-4 off, with int8 1.1e-3 and 1.7e-3.

    Images differ by 1.5e-2.
    """
    scores = []
    for read in ("float32", dtype):
        detector = winclip((3,), read)
        scores.append(detector.score(detector.prepare("bottle", REFERENCES), IMAGES))
    single, rounded = scores
    assert 0 < difference(single.image, rounded.image) < image
    assert difference(single.map, rounded.map) < anomaly_map
    assert np.ptp(single.image) > 1e-2


def test_work_saved_in_the_last_layer():
    """All tokens but the first skip query, output and MLP (20 D^2) and their share of attention (4 T D)."""
    clip = golden_clip("winclip")
    vision = clip.vision().bind({"params": clip.params["vision"]})
    batch, tokens, width = 7, 5, 128
    embedded = jnp.zeros((batch, tokens, width))

    def encode(class_only: bool):
        return lambda x: vision.project(vision.transform(x, class_only)[0][:, 0])

    def compiled_flop(function) -> float:
        return jax.jit(function).lower(embedded).compile().cost_analysis()["flops"]

    saved = batch * (tokens - 1) * (20 * width**2 + 4 * tokens * width)
    everything = matmul_flop(encode(False), embedded)
    assert everything - matmul_flop(vision.encode_tokens, embedded) == saved
    assert saved / everything == pytest.approx(0.167, abs=1e-3)
    # What XLA counts for the compiled program, activations and norms too, falls by at least as much.
    if jax.default_backend() == "cpu":  # elsewhere products are calls of a library, which XLA does not count
        assert compiled_flop(encode(False)) - compiled_flop(vision.encode_tokens) >= saved
