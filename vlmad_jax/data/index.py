"""The examples of a data set's index, and the index as a plain file where TFDS does not write one.

TFDS stores examples with the package array_record, which is not available on Windows. It also takes about a
millisecond for each sample. Without array_record, and for data sets of more than `MOST_EXAMPLES` files, the
index is a file of JSON lines in the same folder of the cache.
"""

import dataclasses
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vlmad_jax.data.images import displayed_size
from vlmad_jax.data.masks import read_mask
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_folder, cache_key
from vlmad_jax.runtime.contents import signature
from vlmad_jax.runtime.files import ancestors_of, walk, write_atomically

FIELDS = ("path", "category", "split", "defect", "masks", "marked", "fault")
# The index of a data set with more files is a plain file.
MOST_EXAMPLES = 20_000
# A thread reads the masks of this many samples before it takes the next ones.
READ_TOGETHER = 32
SEPARATOR = "\0"  # between the masks of one sample; no path contains it


def has_array_record() -> bool:
    """Return whether TFDS can write an index on this machine."""
    try:
        return importlib.util.find_spec("array_record") is not None
    except ValueError:  # the module is in sys.modules, but without a file
        return False


def read_plain_index(source: Source, root: Path, key: str) -> list[Sample]:
    """Read the samples below `root` from a file of JSON lines, which the first call writes.

    Args:
      source: The definition of the data set.
      root: Its folder.
      key: The key of the folder, from `survey`.

    Raises:
      InputError: From `source.scan`, or if the cache cannot be written.
    """
    path = cache_folder() / "index" / key / f"{source.name}.jsonl"
    if not path.exists():
        samples = examine_masks(source.scan(root))
        try:
            write_atomically(path, (f"{json.dumps(_row(sample))}\n".encode("ascii") for sample in samples))
        except (OSError, InputError) as error:
            raise cache_error(error) from None
        return sort_samples(samples)
    with path.open(encoding="ascii") as file:
        return sort_samples([_from_row(*json.loads(line)) for line in file])


def cache_error(error: Exception) -> InputError:
    """Return the error to raise if the cache cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{cache_folder()}: cannot be written ({reason}); set VLMAD_JAX_CACHE to another folder"
    )


def sort_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Sort samples by category, then train before test, and otherwise keep their order."""
    return sorted(samples, key=lambda sample: (sample.category, sample.split == "test"))


def examine_masks(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with what their masks mark, and their faults. Masks are read in threads."""
    places = [number for number, sample in enumerate(samples) if sample.masks]
    parts = [places[start : start + READ_TOGETHER] for start in range(0, len(places), READ_TOGETHER)]
    examined = list(samples)
    with (
        ThreadPoolExecutor(os.cpu_count()) as threads,
        tqdm(desc="reading masks", total=len(places), leave=False, delay=2, disable=None) as bar,
    ):
        read = threads.map(lambda part: [_examine(samples[number]) for number in part], parts)
        for part, found in zip(parts, read, strict=True):
            for number, sample in zip(part, found, strict=True):
                examined[number] = sample
            bar.update(len(part))
    return examined


def _examine(sample: Sample) -> Sample:
    """Return a sample with the share of marked pixels, and with the first fault of a mask that counts.

    An image or mask that does not decode is no fault unless it has no header: its reader reports it.
    """
    size = _size_of_image(sample) if sample.label else None
    union: np.ndarray | None = None
    marked, fault = None, ""
    try:
        for path in sample.masks:
            mask = read_mask(path)
            fault = fault or _fault(sample.path, size, path, mask.shape[::-1])
            union = mask if union is None or union.shape != mask.shape else union | mask
        if union is not None:
            marked = int(union.sum(dtype=np.int64)) / union.size
    except InputError:
        fault = fault or _fault_of_headers(sample, size)
    return dataclasses.replace(sample, marked=marked, fault=fault)


def _size_of_image(sample: Sample) -> tuple[int, int] | None:
    try:
        return displayed_size(sample.path)
    except InputError:
        return None


def _fault(image: str, size: tuple[int, int] | None, mask: str, found: tuple[int, ...]) -> str:
    """Return why a mask of the (width, height) `found` does not fit an image of `size`, or ""."""
    if size is None or found == size:
        return ""
    sizes = f"{found[0]} x {found[1]}, but its image is {size[0]} x {size[1]}"
    return f"{mask}: the mask is {sizes} ({image}); draw it at the size of the image"


def _fault_of_headers(sample: Sample, size: tuple[int, int] | None) -> str:
    """Return the first fault of masks of which one does not decode."""
    if size is None:
        return ""
    try:
        faults = [_fault(sample.path, size, path, displayed_size(path)) for path in sample.masks]
    except InputError as error:
        return str(error)
    return next(filter(None, faults), "")


def to_example(sample: Sample) -> dict[str, bytes]:
    """Return a sample as an example of the index."""
    return dict(zip(FIELDS, map(os.fsencode, _row(sample)), strict=True))


def to_sample(example: dict[str, bytes]) -> Sample:
    """Return the sample of an example of the index."""
    return _from_row(*(os.fsdecode(example[name]) for name in FIELDS))


def _row(sample: Sample) -> tuple[str, ...]:
    """Return the fields of a sample as texts, in the order of `FIELDS`."""
    marked = "" if sample.marked is None else repr(sample.marked)
    masks = SEPARATOR.join(sample.masks)
    return (sample.path, sample.category, sample.split, sample.defect, masks, marked, sample.fault)


def _from_row(
    path: str, category: str, split: str, defect: str, masks: str, marked: str, fault: str
) -> Sample:
    """Return the sample of a row. Samples share the texts that many of them have, which saves memory."""
    return Sample(
        path,
        sys.intern(category),
        sys.intern(split),
        sys.intern(defect),
        tuple(masks.split(SEPARATOR)) if masks else (),
        float(marked) if marked else None,
        fault,
    )


def survey(root: Path) -> tuple[str, int]:
    """Return a cache key for `root`, and the number of files below it.

    The key changes with the path of `root`, the signatures of the files below it, the fields of an example,
    and the versions.
    """
    digest, count = hashlib.sha256(os.fsencode(root)), 0
    for folder, names in walk(root, skip=ancestors_of(root)):
        digest.update(os.fsencode(folder) + b"\0\n")
        before = os.path.join(folder, "")
        for name in names or ():
            state = signature(before + name)
            digest.update(os.fsencode(name) + f"\0{state and tuple(state)}\n".encode())
            count += 1
    return cache_key(digest.digest(), *FIELDS), count
