"""The reference numbers: small checkpoints, their inputs, and what the published code made of them."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmad_jax import CLIP, load_clip
from vlmad_jax.backbones.transformer import layer_name

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
TOWERS = ("vision", "text")


class Case(NamedTuple):
    """One published run: its checkpoint, its arrays by name, and its setting."""

    directory: Path
    arrays: dict[str, np.ndarray]
    setting: dict[str, Any]


@functools.cache
def case(name: str) -> Case:
    """The run called "winclip", "anomalyclip" or "april_gan"."""
    directory = Path(__file__).parent / name
    with np.load(directory / "io.npz") as arrays:
        return Case(directory, dict(arrays), json.loads((directory / "case.json").read_text()))


@functools.cache
def golden_clip(name: str, dtype: str = "float32") -> CLIP:
    """The run's model, loaded from the transformers layout once."""
    return load_clip(case(name).directory, dtype)


@functools.cache
def shallow_clip(name: str, layers: int = 1) -> CLIP:
    """The run's model without its later layers: for what holds of any model, since it compiles sooner."""
    clip = golden_clip(name)
    towers = {tower: dataclasses.replace(getattr(clip.config, tower), layers=layers) for tower in TOWERS}
    params = dict(clip.params)
    for tower in TOWERS:
        later = map(layer_name, range(layers + 1, getattr(clip.config, tower).layers + 1))
        params[tower] = {part: params[tower][part] for part in params[tower].keys() - set(later)}
    return dataclasses.replace(clip, config=dataclasses.replace(clip.config, **towers), params=params)


def open_clip_directory(directory: Path) -> Path:
    """WinCLIP's checkpoint in the open_clip layout alone."""
    for name in ("open_clip_config.json", "open_clip_model.safetensors", *TOKENIZER_FILES):
        shutil.copy(case("winclip").directory / name, directory)
    return directory


def difference(actual: Any, expected: Any) -> float:
    """The largest absolute difference of two arrays of one shape."""
    actual, expected = np.asarray(actual, np.float32), np.asarray(expected, np.float32)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max())
