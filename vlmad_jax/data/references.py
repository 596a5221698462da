"""The reference images of a few-shot run: drawn from a seed, written to a manifest, and read from one."""

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
from vlmad_jax.runtime.names import lookup_name, nfc


def draw_references(
    dataset: DataSet, category: str, shots: int | Literal["all"], seed: int
) -> tuple[Sample, ...]:
    """Draw reference images of a category from its normal training images without replacement.

    The result depends only on the seed, the category and its images. It is the start of one permutation, so
    the references for 4 shots begin with those for 2.

    Args:
      dataset: The data set.
      category: The category.
      shots: The number of references, or "all".
      seed: The seed, 0 or more.

    Raises:
      InputError: There are fewer images than shots, `shots` is below 1, or the seed is below 0.
    """
    pool = _pool(dataset, category)
    count = max(len(pool), 1) if shots == "all" else shots
    if not 1 <= count <= len(pool):
        held = f"category {category!r} has {len(pool)} normal training images"
        remedy = f"give 1 to {len(pool)}" if pool else "add some to its train/good"
        raise InputError(f"--shots={shots}: {held}; {remedy}")
    if seed < 0:
        raise InputError(f"--seed={seed}: give 0 or more")
    order = np.random.default_rng(
        [seed, zlib.crc32(nfc(category).encode("utf-8", "surrogateescape"))]
    ).permutation(len(pool))
    return tuple(pool[number] for number in order[:count])


def write_manifest(path: str | Path, references: Mapping[str, Sequence[Sample]]) -> None:
    """Write the references of each category as JSON: {category: [path, ...]}."""
    write_json(
        path, {category: [sample.path for sample in samples] for category, samples in references.items()}
    )


def read_manifest(path: str | Path, dataset: DataSet) -> dict[str, tuple[Sample, ...]]:
    """Read the references of each category of `dataset` from a manifest, in the order of the file.

    An image is identified by its path below the folder of the data set, wherever that folder was, or by any
    end of the path that is unique among the normal training images of the category. So a manifest works on
    other machines and can be written by hand. Categories that `dataset` lacks are skipped.

    Raises:
      InputError: The file is not a manifest or lacks a category, or it lists an image twice or an image that
        is not a normal training image of its category.
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
        raise InputError(f"{path}: is not a manifest; expected {{category: [path of a normal image, ...]}}")
    references = {}
    for category in dataset.categories:
        names = lookup_name(category, listed)
        if not names:
            raise InputError(
                f"{path}: lists no images of category {category!r}; add them, or exclude it with --categories"
            )
        references[category] = tuple(_find(path, dataset, category, name) for name in names)
        if len(set(references[category])) < len(references[category]):
            raise InputError(f"{path}: lists an image of category {category!r} twice; list each once")
    return references


def _pool(dataset: DataSet, category: str) -> list[Sample]:
    """Return the normal training images sorted by relative path, the same on every machine."""
    normal = [sample for sample in dataset.select(category, "train") if sample.label == 0]
    return sorted(normal, key=lambda sample: nfc(dataset.relative(sample.path)))


def _find(manifest: str | Path, dataset: DataSet, category: str, name: str) -> Sample:
    """Return the image with this name: as written, or else with forward slashes, or else in NFC."""
    relative = {f"/{dataset.relative(sample.path)}": sample for sample in _pool(dataset, category)}
    found: list[Sample] = []
    for spell in (str, _with_slashes, lambda text: nfc(_with_slashes(text))):
        tail = "/" + spell(name)
        ends = [tail.endswith(path) or path.endswith(tail) for path in map(spell, relative)]
        found = found or list(itertools.compress(relative.values(), ends))
    if len(found) != 1:
        problem = "may be one of several images" if found else "is not a normal training image"
        raise InputError(
            f"{manifest}: {name} {problem} of category {category!r}; list images from its train/good"
        )
    return found[0]


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
