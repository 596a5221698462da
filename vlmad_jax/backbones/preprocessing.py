"""What a checkpoint says of its images: the mean and std that pixels are normalised by.

Pixels p of 0 to 255 become (p / 255 - mean) / std here. transformers computes (p f - mean) / std with a
`rescale_factor` f, and may leave out either step; that is the same with other means and stds, to which such
entries are converted. Sizes and crops are passed over: images are resized straight to the square, as the
published methods do.
"""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import warn

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

Numbers = tuple[float, float, float]

# transformers' files, the first that describes images counts: `processor_config.json` holds the entries of
# `preprocessor_config.json` below this name since version 5.
NESTED = "image_processor"
FILES = ("processor_config.json", "preprocessor_config.json")

RESCALE = 1 / 255
BICUBIC = 3  # PIL's number of the filter that images are resized with here
FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Entries of other models' image processors that would change the numbers, with the values that do not.
UNUSUAL: dict[str, Any] = {"do_flip_channel_order": False, "rescale_offset": False, "do_grayscale": False}


class Normalisation(NamedTuple):
    """Pixels p become (p / 255 - mean) / std."""

    mean: Numbers = OPENAI_MEAN
    std: Numbers = OPENAI_STD


def read_normalisation(directory: pathlib.Path) -> Normalisation:
    """What transformers' files of a checkpoint say; OpenAI's where there is none.

    Of `processor_config.json` and `preprocessor_config.json`, the first counts where both describe images, as
    in transformers; a notice says so where they differ.

    Raises:
      InputError: an entry that is no such number, or asks for what is not done here.
    """
    found = {}
    for path in (directory / name for name in FILES):
        if path.exists() and (entries := image_entries(path)) is not None:
            try:
                found[path] = from_transformers(entries)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
            check_filter(path, "resample", entries.get("resample"), BICUBIC)
    if len(set(found.values())) > 1:
        first, second = found
        warn(
            f"{second}: has another mean or std than {first.name}, which counts, as in transformers; "
            "remove the one that is not the model's"
        )
    return next(iter(found.values()), Normalisation())


def image_entries(path: pathlib.Path) -> dict[str, Any] | None:
    """The entries of an image processor in one of transformers' files; None where it describes none."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); download it again") from error
    nested = raw.get(NESTED) if isinstance(raw, dict) else raw
    if nested is None and path.name == FILES[0]:
        return None
    entries = raw if nested is None else nested
    if not isinstance(entries, dict):
        raise InputError(f"{path}: {shown(entries)} is no object of entries; copy the model's own file")
    return {name: value for name, value in entries.items() if value is not None}  # null is absent there too


def from_transformers(entries: Mapping[str, Any]) -> Normalisation:
    """The mean and std of an image processor's entries; absent ones take CLIP's defaults.

    >>> from_transformers({"do_normalize": False})
    Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    >>> from_transformers({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51] * 3})
    Normalisation(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    """
    for name, usual in UNUSUAL.items():
        if entries.get(name, usual) != usual:
            raise InputError(f"{name} {shown(entries[name])} is not done here; give a plain CLIP's file")
    # Pixels times `scale` are what the network's mean is subtracted from, in units of 1 / 255.
    scale = 255 * rescale_factor(entries) if flag(entries, "do_rescale") else 255.0
    if not flag(entries, "do_normalize"):
        return checked("rescale_factor", (0.0,) * 3, (1 / scale,) * 3)
    given = [name for name in ("image_mean", "image_std") if name in entries]
    kind = entries.get("image_processor_type", entries.get("feature_extractor_type", "CLIP"))
    if len(given) == 1 or not (given or "CLIP" in str(kind)):
        absent = "image_std" if given == ["image_mean"] else "image_mean"
        raise InputError(f"{absent} is missing; give three numbers, those the model was trained with")
    mean = three_numbers("image_mean", entries.get("image_mean", OPENAI_MEAN))
    std = three_numbers("image_std", entries.get("image_std", OPENAI_STD))
    if not math.isclose(scale, 1, rel_tol=1e-7):  # 1 / 255 may have been stored as a float32
        mean, std = (tuple(x / scale for x in numbers) for numbers in (mean, std))
    return checked("image_", mean, std)


def from_open_clip(entries: Any) -> Normalisation:
    """The mean and std of an `open_clip_config.json`'s `preprocess_cfg`; absent ones are OpenAI's."""
    if entries is None:
        return Normalisation()
    if not isinstance(entries, dict):
        raise InputError(
            f"preprocess_cfg {shown(entries)} is no object of entries; copy the model's own file"
        )
    if entries.get("mode", "RGB") not in ("RGB", None):
        raise InputError(
            f"preprocess_cfg mode {shown(entries['mode'])} is not done here; give a model of RGB"
        )
    named = {f"preprocess_cfg {name}": entries.get(name) for name in ("mean", "std")}
    mean, std = (
        usual if given is None else three_numbers(name, given)
        for (name, given), usual in zip(named.items(), (OPENAI_MEAN, OPENAI_STD), strict=True)
    )
    return checked("preprocess_cfg ", mean, std)


def checked(name: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Normalisation:
    """Refuses a mean or std for pixels of 0 to 255 where they are scaled to 0 to 1, or a std of 0."""
    for kind, numbers in (("mean", mean), ("std", std)):
        entry = name if name == "rescale_factor" else name + kind
        if max(map(abs, numbers)) > 1:
            raise InputError(
                f"{entry} makes the {kind} {few_digits(numbers)}, but none of pixels scaled to 0 to 1 is "
                "above 1; divide by 255 what is meant for pixels of 0 to 255"
            )
    if not np.float32(min(std)) > 0:
        raise InputError(f"{name}std {few_digits(std)} has to be above 0; give the model's own")
    return Normalisation((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def three_numbers(name: str, value: Any) -> tuple[float, ...]:
    """The value of an entry, as it is; InputError unless it is a list of three finite numbers."""
    if not isinstance(value, list | tuple) or len(value) != 3 or not all(map(is_number, value)):
        raise InputError(
            f"{name} {shown(value)} is not three finite numbers; give those the model was trained with"
        )
    return tuple(value)


def rescale_factor(entries: Mapping[str, Any]) -> float:
    """What pixels are multiplied by; InputError unless it is a number above 0."""
    factor = entries.get("rescale_factor", RESCALE)
    if not is_number(factor) or not factor > 0:
        raise InputError(
            f"rescale_factor {shown(factor)} is not a number above 0; give for example {RESCALE}"
        )
    return float(factor)


def flag(entries: Mapping[str, Any], name: str) -> bool:
    """Whether a step is done, as it is unless the entry says otherwise."""
    value = entries.get(name, True)
    if not isinstance(value, bool):
        raise InputError(f"{name} {shown(value)} is neither true nor false; give one of them")
    return value


def is_number(value: Any) -> bool:
    """Whether it is a number of no senseless size; true, false and NaN are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def check_filter(path: pathlib.Path, name: str, value: Any, bicubic: Any) -> None:
    """Gives notice of images that were resized with another filter when the model was trained."""
    if value is None or value == bicubic:
        return
    asked = FILTERS.get(value, value) if isinstance(value, int) else value
    warn(
        f"{path}: {name} asks for {shown(asked)} resizing; images are resized bicubically here, as the "
        "published methods do, so scores may differ a little from those of images resized like that; "
        f"{name} {shown(bicubic)} agrees"
    )


def save_normalisation(directory: pathlib.Path, normalisation: Normalisation, side: int) -> None:
    """Writes `preprocessor_config.json` for images of `side` pixels; no other file there describes images."""
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
    """A value from a file on one short line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def few_digits(numbers: tuple[float, ...]) -> str:
    """ "0.5, 0.25, 123"."""
    return ", ".join(f"{x:.6g}" for x in numbers)
