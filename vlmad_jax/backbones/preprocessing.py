"""The mean and std of pixels, from a checkpoint's preprocessing files.

Pixels p from 0 to 255 become (p / 255 - mean) / std here. transformers computes (p f - mean) / std with a
`rescale_factor` f, and may omit either step. Such entries are converted to the equivalent mean and std. Sizes
and crops are ignored, because images are resized directly to a square, as in the published methods.
"""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import warn

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Numbers = tuple[float, float, float]

# transformers' files, of which the first that describes images is used. Since version 5,
# `processor_config.json` has the entries of `preprocessor_config.json` under this name.
NESTED = "image_processor"
FILES = ("processor_config.json", "preprocessor_config.json")

RESCALE = 1 / 255
BICUBIC, BILINEAR = 3, 2  # PIL's numbers of the filters with which images are resized here
FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Entries of other models' image processors that change pixels, with the values that do not.
UNUSUAL: dict[str, Any] = {"do_flip_channel_order": False, "rescale_offset": False, "do_grayscale": False}


class Normalisation(NamedTuple):
    """The mean and std with which pixels p become (p / 255 - mean) / std."""

    mean: Numbers = OPENAI_MEAN
    std: Numbers = OPENAI_STD


OPENAI = Normalisation()


class Preprocessing(NamedTuple):
    """How images of any size become the network's inputs.

    Attributes:
      normalisation: The mean and std of pixels.
      resample: The filter of resizing, "bicubic" or "bilinear".
    """

    normalisation: Normalisation
    resample: str = "bicubic"


def read_preprocessing(
    directory: pathlib.Path, default: Preprocessing, processor: str | None = None
) -> Preprocessing:
    """Read the preprocessing from transformers' files of a checkpoint.

    If there are none, the default is used, with a warning. A filter that is neither bicubic nor bilinear
    becomes bicubic, with a warning.

    Args:
      directory: The checkpoint's directory.
      default: What is used without files.
      processor: The first part of the name of the image processor whose defaults of absent entries these are.

    Raises:
      InputError: An entry is invalid, or asks for an unsupported step.
    """
    described = [path for path in (directory / name for name in FILES) if path.exists()]
    described = [path for path in described if image_entries(path) is not None]
    if not described:
        warn(
            f"{directory}: has no {FILES[1]}, so that the mean {few_digits(default.normalisation.mean)} and "
            f"the std {few_digits(default.normalisation.std)} are assumed; copy the model's own file"
        )
        return default
    wanted = (image_entries(described[0]) or {}).get("resample", BICUBIC)
    filters = (BICUBIC, BILINEAR)
    entries = () if processor is None else (default.normalisation, processor)
    normalisation = read_normalisation(directory, filters, *entries)
    return Preprocessing(normalisation, FILTERS[wanted] if wanted in filters else "bicubic")


def read_normalisation(
    directory: pathlib.Path,
    filters: Sequence[int] = (BICUBIC,),
    usual: Normalisation = OPENAI,
    processor: str = "CLIP",
) -> Normalisation:
    """Read the mean and std from transformers' files of a checkpoint; the usual ones if there are none.

    If both `processor_config.json` and `preprocessor_config.json` describe images, the first is used, as in
    transformers, with a warning if they differ.

    Args:
      directory: The checkpoint's directory.
      filters: PIL's numbers of the filters of resizing that are not warned of.
      usual: The mean and std of absent entries, by default OpenAI's.
      processor: The first part of the name of the image processor whose defaults these are.

    Raises:
      InputError: An entry is invalid, or asks for an unsupported step.
    """
    found = {}
    for path in (directory / name for name in FILES):
        if path.exists() and (entries := image_entries(path)) is not None:
            try:
                found[path] = from_transformers(entries, usual, processor)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            if entries.get("resample") not in filters:
                check_filter(path, "resample", entries.get("resample"), BICUBIC)
    if len(set(found.values())) > 1:
        first, second = found
        warn(
            f"{second}: has another mean or std than {first.name}, which is used, as in transformers; "
            "remove the file that is not the model's"
        )
    return next(iter(found.values()), usual)


def image_entries(path: pathlib.Path) -> dict[str, Any] | None:
    """Return the entries of an image processor in one of transformers' files; None if it has none.

    Raises:
      InputError: The file is not JSON, or not an object of entries.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); download it again") from error
    nested = raw.get(NESTED) if isinstance(raw, dict) else raw
    if nested is None and path.name == FILES[0]:
        return None
    entries = raw if nested is None else nested
    if not isinstance(entries, dict):
        raise InputError(f"{path}: {shown(entries)} is not an object of entries; copy the model's own file")
    return {
        name: value for name, value in entries.items() if value is not None
    }  # null means absent in transformers too


def from_transformers(
    entries: Mapping[str, Any], usual: Normalisation = OPENAI, processor: str = "CLIP"
) -> Normalisation:
    """Return the mean and std of an image processor's entries; see `read_normalisation`.

    >>> from_transformers({"do_normalize": False})
    Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    >>> from_transformers({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51] * 3})
    Normalisation(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    """
    for name, harmless in UNUSUAL.items():
        if entries.get(name, harmless) != harmless:
            raise InputError(
                f"{name} {shown(entries[name])} is not supported; give a plain {processor}'s file"
            )
    # The network's mean is subtracted from pixels / 255 times `scale`.
    scale = 255 * rescale_factor(entries) if flag(entries, "do_rescale") else 255.0
    if not flag(entries, "do_normalize"):
        return checked("rescale_factor", (0.0,) * 3, (1 / scale,) * 3)
    given = [name for name in ("image_mean", "image_std") if name in entries]
    kind = entries.get("image_processor_type", entries.get("feature_extractor_type", processor))
    if len(given) == 1 or not (given or processor in str(kind)):
        absent = "image_std" if given == ["image_mean"] else "image_mean"
        raise InputError(f"{absent} is missing; give three numbers, those the model was trained with")
    mean = three_numbers("image_mean", entries.get("image_mean", usual.mean))
    std = three_numbers("image_std", entries.get("image_std", usual.std))
    if not math.isclose(scale, 1, rel_tol=1e-7):  # 1 / 255 may have been stored as a float32
        mean, std = (tuple(x / scale for x in numbers) for numbers in (mean, std))
    return checked("image_", mean, std)


def from_open_clip(entries: Any) -> Normalisation:
    """Return the mean and std of an `open_clip_config.json`'s `preprocess_cfg`, by default OpenAI's.

    Raises:
      InputError: An entry is invalid, or asks for an unsupported step.
    """
    if entries is None:
        return Normalisation()
    if not isinstance(entries, dict):
        raise InputError(
            f"preprocess_cfg {shown(entries)} is not an object of entries; copy the model's own file"
        )
    if entries.get("mode", "RGB") not in ("RGB", None):
        raise InputError(
            f"preprocess_cfg mode {shown(entries['mode'])} is not supported; give a model of RGB images"
        )
    named = {f"preprocess_cfg {name}": entries.get(name) for name in ("mean", "std")}
    mean, std = (
        usual if given is None else three_numbers(name, given)
        for (name, given), usual in zip(named.items(), (OPENAI_MEAN, OPENAI_STD), strict=True)
    )
    return checked("preprocess_cfg ", mean, std)


def checked(name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Normalisation:
    """Return a mean and std for pixels scaled to 0 to 1.

    Raises:
      InputError: They are those of pixels from 0 to 255, or the std is 0.
    """
    for kind, numbers in (("mean", mean), ("std", std)):
        entry = name if name == "rescale_factor" else name + kind
        if max(map(abs, numbers)) > 1:
            raise InputError(
                f"{entry} makes the {kind} {few_digits(numbers)}, but pixels are scaled to 0 to 1; "
                "divide a value for pixels from 0 to 255 by 255"
            )
    if not np.float32(min(std)) > 0:
        raise InputError(f"{name}std {few_digits(std)} has to be above 0; give the model's own")
    return Normalisation((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def three_numbers(name: str, value: Any) -> tuple[float, ...]:
    """Return the value of an entry.

    Raises:
      InputError: It is not a list of three finite numbers.
    """
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(map(is_number, value)):
        raise InputError(
            f"{name} {shown(value)} is not three finite numbers; give those the model was trained with"
        )
    return tuple(value)


def rescale_factor(entries: Mapping[str, Any]) -> float:
    """Return the factor of pixels.

    Raises:
      InputError: It is not a number above 0.
    """
    factor = entries.get("rescale_factor", RESCALE)
    if not is_number(factor) or not factor > 0:
        raise InputError(
            f"rescale_factor {shown(factor)} is not a number above 0; give for example {RESCALE}"
        )
    return float(factor)


def flag(entries: Mapping[str, Any], name: str) -> bool:
    """Return whether a step is done, by default True.

    Raises:
      InputError: The entry is not true or false.
    """
    value = entries.get(name, True)
    if not isinstance(value, bool):
        raise InputError(f"{name} {shown(value)} is neither true nor false; give one of them")
    return value


def is_number(value: Any) -> bool:
    """Return whether a value is a number below 1e9, and not a bool or NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def check_filter(path: pathlib.Path, name: str, value: Any, bicubic: Any) -> None:
    """Warn if the model was trained on images that were resized with another filter."""
    if value is None or value == bicubic:
        return
    asked = FILTERS.get(value, value) if isinstance(value, int) else value
    warn(
        f"{path}: {name} asks for {shown(asked)} resizing, but images are resized bicubically, as in the "
        "published methods, so that scores may differ a little; "
        f"{name} {shown(bicubic)} turns this warning off"
    )


def save_normalisation(directory: pathlib.Path, normalisation: Normalisation, side: int) -> None:
    """Write `preprocessor_config.json` for images of `side` pixels, and remove older entries."""
    write_json(
        directory / FILES[1],
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"height": side, "width": side},
            "do_center_crop": False,
            "resample": BICUBIC,
            "image_mean": list(normalisation.mean),
            "image_std": list(normalisation.std),
        },
    )
    other = directory / FILES[0]
    if other.exists() and image_entries(other) is not None:
        kept = json.loads(other.read_text(encoding="utf-8"))
        write_json(other, {name: value for name, value in kept.items() if name != NESTED})


def shown(value: Any) -> str:
    """Return a value from a file on one short line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def few_digits(numbers: tuple[float, ...]) -> str:
    """Return for example "0.5, 0.25, 123"."""
    return ", ".join(f"{x:.6g}" for x in numbers)
