"""The good samples of a few-shot run: drawn from a seed, written down, and read back."""

import itertools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from vlmad_jax.data.samples import DataSet, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.names import composed, named


def draw_references(
    dataset: DataSet, category: str, shots: int | Literal["all"], seed: int
) -> tuple[Sample, ...]:
    """Draw `shots` of a category's good training images without replacement, or take all.

    They depend on the seed, the category and its images alone, not on what else is run; and they are the
    first of one permutation, so that the draw for 4 shots begins with the draw for 2.

    Raises InputError when there are fewer images than shots, `shots` is below 1, or the seed below 0.
    """
    pool = _pool(dataset, category)
    count = max(len(pool), 1) if shots == "all" else shots
    if not 1 <= count <= len(pool):
        held = f"category {category!r} has {len(pool)} good training images"
        remedy = f"give 1 to {len(pool)}" if pool else "add some to its train/good"
        raise InputError(f"--shots={shots}: {held}; {remedy}")
    if seed < 0:
        raise InputError(f"--seed={seed}: give 0 or more")
    order = np.random.default_rng(
        [seed, zlib.crc32(composed(category).encode("utf-8", "surrogateescape"))]
    ).permutation(len(pool))
    return tuple(pool[number] for number in order[:count])


def write_manifest(path: str | Path, references: Mapping[str, Sequence[Sample]]) -> None:
    """Write the references of each category as JSON, {category: [path, ...]}, atomically."""
    write_json(
        path, {category: [sample.path for sample in samples] for category, samples in references.items()}
    )


def read_manifest(path: str | Path, dataset: DataSet) -> dict[str, tuple[Sample, ...]]:
    """Read a manifest: the references of each category of `dataset`, in the order of the file.

    An image is known by its path below the folder of the data set, wherever that folder was, or by any
    end of it that no other good training image of the category shares; so a manifest is good on another
    machine and can be written by hand. Categories that `dataset` lacks are passed over.

    Raises InputError when the file is no manifest, lacks a category, or lists an image that is no good
    training image of its category or stands there twice.
    """
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the manifest of a few-shot run"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); give the manifest of a few-shot run") from None
    if not isinstance(listed, dict) or not all(map(_is_list_of_names, listed.values())):
        raise InputError(f"{path}: is not a manifest; expected {{category: [path of a good image, ...]}}")
    references = {}
    for category in dataset.categories:
        names = named(category, listed)
        if not names:
            raise InputError(f"{path}: lists no images of category {category!r}; add them or leave it out")
        references[category] = tuple(_find(path, dataset, category, name) for name in names)
        if len(set(references[category])) < len(references[category]):
            raise InputError(f"{path}: lists an image of category {category!r} twice; list each once")
    return references


def _pool(dataset: DataSet, category: str) -> list[Sample]:
    """The good training images in the order of their relative paths, the same on every machine."""
    good = [sample for sample in dataset.select(category, "train") if sample.label == 0]
    return sorted(good, key=lambda sample: composed(dataset.relative(sample.path)))


def _find(manifest: str | Path, dataset: DataSet, category: str, name: str) -> Sample:
    """The image of that name: as it is written, else with slashes for backslashes, else in NFC."""
    relative = {f"/{dataset.relative(sample.path)}": sample for sample in _pool(dataset, category)}
    found: list[Sample] = []
    for spelt in (str, _with_slashes, lambda text: composed(_with_slashes(text))):
        tail = "/" + spelt(name)
        ends = [tail.endswith(path) or path.endswith(tail) for path in map(spelt, relative)]
        found = found or list(itertools.compress(relative.values(), ends))
    if len(found) != 1:
        several = "may be one of several images" if found else "is not a good training image"
        raise InputError(
            f"{manifest}: {name} {several} of category {category!r}; list images from its train/good"
        )
    return found[0]


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
