"""The largest differences from the reference numbers of published implementations, in any dtype."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vlmad_jax.backbones.clip import CLIP, load_clip
from vlmad_jax.benchmark.accelerator.records import Records
from vlmad_jax.methods import AnomalyCLIP, AprilGAN, WinCLIP

# The largest differences that the contract allows in float32.
FEATURES, SCORES = 2e-5, 1e-5
Compared = tuple[str, Any, Any, float]  # quantity, ours, expected, the limit in float32


def parity(records: Records, golden: Path, method: str, dtype: str) -> None:
    """Record the differences of "clip", "winclip", "anomalyclip" or "aprilgan".

    Args:
      records: The records, one for each quantity.
      golden: The folder of reference numbers, `tests/golden` of a clone.
      method: The name in `COMPARISONS`.
      dtype: The dtype of products. Limits are stated for float32 alone.

    Raises:
      ValueError: A quantity has another shape than the reference.
    """
    for quantity, ours, expected, limit in COMPARISONS[method](golden, dtype):
        ours, expected = np.asarray(ours, np.float32), np.asarray(expected, np.float32)
        if ours.shape != expected.shape:
            raise ValueError(f"{quantity} is {ours.shape}, expected {expected.shape}")
        apart = float(np.abs(ours - expected).max())
        records.add(
            "parity",
            dtype=dtype,
            method=method,
            quantity=quantity,
            difference=apart,
            largest=float(np.abs(expected).max()),
            **({"limit": limit, "within": apart <= limit} if dtype == "float32" else {}),
        )


def read_case(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the setting of a published run."""
    with np.load(directory / "io.npz") as arrays:
        return dict(arrays), json.loads((directory / "case.json").read_text(encoding="utf-8"))


def clip(golden: Path, dtype: str) -> Iterator[Compared]:
    """Compare CLIP's embeddings of images, patches and text."""
    directory = golden / "winclip"
    arrays, setting = read_case(directory)
    backbone = load_clip(directory, dtype)
    yield (
        "image embeddings",
        backbone.encode_image(arrays["images_uint8"]),
        arrays["image_embeddings"],
        FEATURES,
    )
    prompts = [backbone.encode_text(setting[f"{kind}_prompts"]) for kind in ("normal", "anomalous")]
    means = np.stack([np.asarray(x).mean(axis=0) for x in prompts])
    yield "text embeddings", means, arrays["text_embeddings"], FEATURES
    yield "patch embeddings", patches(backbone, arrays["images_uint8"]), arrays["patch_embeddings"], FEATURES


def patches(backbone: CLIP, images: np.ndarray) -> Any:
    """Return the patch tokens after the last norm, (B, P, D)."""
    vision = backbone.vision()

    def normed(variables: Any, images: Any) -> Any:
        bound = vision.bind(variables)
        return bound.norm(bound.transform(bound.embed(images))[0][:, 1:])

    return backbone.compile("vision", normed)(images)


def winclip(golden: Path, dtype: str) -> Iterator[Compared]:
    """Compare WinCLIP's scores and maps with and without reference images."""
    directory = golden / "winclip"
    arrays, setting = read_case(directory)
    detector = WinCLIP(load_clip(directory, dtype), window_sizes=(2, 3))
    for shots, references in (("zero", None), ("few", arrays["reference_uint8"])):
        state = detector.prepare(setting["class_name"], references)
        scores = detector.score(state, arrays["images_uint8"])
        yield f"{shots}-shot scores", scores.image, arrays[f"{shots}_shot_scores_2_3"], SCORES
        yield f"{shots}-shot maps", scores.map, arrays[f"{shots}_shot_maps_2_3"], SCORES


def anomalyclip(golden: Path, dtype: str) -> Iterator[Compared]:
    """Compare AnomalyCLIP's features, scores and maps."""
    directory = golden / "anomalyclip"
    arrays, setting = read_case(directory)
    detector = AnomalyCLIP(
        load_clip(directory, dtype),
        image_size=setting["input_resolution"],
        dpam_layers=setting["dpam_layers"],
        feature_layers=setting["feature_layers"],
        context_length=setting["n_ctx"],
        deep_depth=setting["compound_depth"],
        deep_length=setting["compound_length"],
        blur_sigma=setting["gaussian_sigma"],
    )
    images = arrays["images_uint8"]
    state = detector.prepare(params=detector.load_params(directory / "prompts.pth"))
    text = np.asarray(state.text)
    text = text / np.linalg.norm(text, axis=-1, keepdims=True)
    yield "text features", text, arrays["text_features"], FEATURES
    features = detector.clip.compile("vision", detector.extract)(images)
    yield "image features", features.image, arrays["image_features"], FEATURES
    for number in range(len(setting["feature_layers"])):
        expected = arrays[f"patch_features_{number}"][:, 1:]
        yield f"patch features {number + 1}", features.patches[:, number], expected, FEATURES
    scores = detector.score(state, images)
    yield "scores", scores.image, arrays["image_scores"], SCORES
    yield "maps", scores.map, arrays["anomaly_maps"], SCORES


def aprilgan(golden: Path, dtype: str) -> Iterator[Compared]:
    """Compare APRIL-GAN's features, scores, and maps with and without reference images."""
    directory = golden / "april_gan"
    arrays, setting = read_case(directory)
    layers = tuple(setting["feature_layers"])
    detector = AprilGAN(load_clip(directory, dtype), image_size=64, feature_layers=layers)
    with np.load(directory / "projections.npz") as stored:
        params: Any = {
            "kernel": np.stack([stored[f"fc_{n}_weight"].T for n in range(len(layers))]),
            "bias": np.stack([stored[f"fc_{n}_bias"] for n in range(len(layers))]),
        }
    images, name = arrays["images_uint8"], setting["class_name"]
    state = detector.prepare(name, params=params)
    yield "text features", state.text, arrays["text_features"], FEATURES
    tokens = detector.clip.compile("vision", detector.extract)(images).patches[0]
    for number in range(len(layers)):
        yield f"tokens {number + 1}", tokens[number], arrays[f"hidden_state_{number}"][1:], FEATURES
    scores = detector.score(state, images)
    yield "scores", scores.image, arrays["image_scores"], SCORES
    yield "maps", scores.map, arrays["anomaly_maps"], SCORES
    few = detector.score(detector.prepare(name, arrays["reference_uint8"], params), images)
    yield "few-shot maps", few.map, arrays["few_shot_maps"], SCORES


COMPARISONS: dict[str, Callable[[Path, str], Iterator[Compared]]] = {
    "clip": clip,
    "winclip": winclip,
    "anomalyclip": anomalyclip,
    "aprilgan": aprilgan,
}
