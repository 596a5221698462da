"""WinCLIP and AnomalyCLIP on the golden backbones, compiled once for all tests."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden import case, difference, golden_clip, shallow_clip
from vlmad_jax import AnomalyCLIP, Scores, WinCLIP

IMAGES = case("winclip").arrays["images_uint8"]  # (3, 64, 64, 3)
REFERENCES = case("winclip").arrays["reference_uint8"]  # (2, 64, 64, 3)


@functools.cache
def winclip(window_sizes: tuple[int, ...] = (2, 3), dtype: str = "float32") -> WinCLIP:
    return WinCLIP(golden_clip("winclip", dtype), window_sizes)


@functools.cache
def shallow_winclip(window_sizes: tuple[int, ...] = (3,)) -> WinCLIP:
    return WinCLIP(shallow_clip("winclip"), window_sizes)


@functools.cache
def anomalyclip() -> AnomalyCLIP:
    setting = case("anomalyclip").setting
    return AnomalyCLIP(
        golden_clip("anomalyclip"),
        image_size=setting["input_resolution"],
        dpam_layers=setting["dpam_layers"],
        feature_layers=setting["feature_layers"],
        context_length=setting["n_ctx"],
        deep_depth=setting["compound_depth"],
        deep_length=setting["compound_length"],
        blur_sigma=setting["gaussian_sigma"],
    )


@functools.cache
def shallow_anomalyclip() -> AnomalyCLIP:
    """AnomalyCLIP with two layers, both with v-v attention."""
    clip = shallow_clip("anomalyclip", 2)
    return dataclasses.replace(anomalyclip(), clip=clip, dpam_layers=2, feature_layers=(1, 2), deep_depth=2)


def prompts_by_name(arrays, prefix: str = "") -> dict[str, np.ndarray]:
    """The authors' parameters, or their gradients, under our names."""
    layers = range(case("anomalyclip").setting["compound_depth"] - 1)
    return {
        "normal": arrays[f"{prefix}ctx_pos"][0, 0],
        "anomalous": arrays[f"{prefix}ctx_neg"][0, 0],
        "deep": np.stack([arrays[f"{prefix}compound_prompts_text_{n}"] for n in layers]),
    }


@functools.cache
def published_prompts() -> dict[str, np.ndarray]:
    """The prompts that AnomalyCLIP's authors' code learned."""
    with np.load(case("anomalyclip").directory / "prompts.npz") as arrays:
        return prompts_by_name(arrays)


@functools.cache
def published_batch() -> dict[str, jax.Array]:
    """The batch of a training step of AnomalyCLIP's authors' code."""
    arrays = case("anomalyclip").arrays
    return {
        "image": jnp.asarray(arrays["images_uint8"]),
        "mask": jnp.asarray(arrays["masks"]),
        "label": jnp.asarray(arrays["labels"], jnp.int32),
    }


def apart(a: Scores, b: Scores) -> float:
    """The largest difference of two sets of image scores and maps."""
    return max(difference(a.image, b.image), difference(a.map, b.map))
