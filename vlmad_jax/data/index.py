"""The examples of a data set's index, and the index as a plain file where TFDS cannot write one.

TFDS stores examples with the package array_record, which is not available on Windows. There the index is a
file of JSON lines in the same folder of the cache.
"""

import dataclasses
import importlib.util
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vlmad_jax.data.masks import read_masks
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_folder, cache_key
from vlmad_jax.runtime.contents import signature
from vlmad_jax.runtime.files import ancestors_of, walk, write_atomically

FIELDS = ("path", "category", "split", "defect", "masks", "marked")
SEPARATOR = "\0"  # between the masks of one sample; no path contains it


def has_array_record() -> bool:
    """Return whether TFDS can write an index on this machine."""
    try:
        return importlib.util.find_spec("array_record") is not None
    except ValueError:  # the module is in sys.modules, but without a file
        return False


def read_plain_index(source: Source, root: Path) -> list[Sample]:
    """Read the samples below `root` from a file of JSON lines, which the first call writes.

    Raises:
      InputError: From `source.scan`, or if the cache cannot be written.
    """
    path = cache_folder() / "index" / index_key(root) / f"{source.name}.jsonl"
    if not path.exists():
        samples = add_marked_shares(source.scan(root))
        lines = (json.dumps(list(map(os.fsdecode, to_example(sample).values()))) for sample in samples)
        try:
            write_atomically(path, "".join(f"{line}\n" for line in lines))
        except (OSError, InputError) as error:
            raise cache_error(error) from None
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return sort_samples([to_sample(dict(zip(FIELDS, map(os.fsencode, row), strict=True))) for row in rows])


def cache_error(error: Exception) -> InputError:
    """Return the error to raise if the cache cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{cache_folder()}: cannot be written ({reason}); set VLMAD_JAX_CACHE to another folder"
    )


def sort_samples(samples: Sequence[Sample]) -> list[Sample]:
    """Sort samples by category, then train before test, and otherwise keep their order."""
    return sorted(samples, key=lambda sample: (sample.category, sample.split == "test"))


def add_marked_shares(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with the share of pixels that their masks mark. Masks are read in threads."""
    with_masks = [sample for sample in samples if sample.masks]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        shares = threads.map(_marked_share, with_masks)
        with tqdm(shares, "reading masks", len(with_masks), leave=False, delay=2, disable=None) as bar:
            found = {sample.path: share for sample, share in zip(with_masks, bar, strict=True)}
    return [dataclasses.replace(sample, marked=found.get(sample.path)) for sample in samples]


def _marked_share(sample: Sample) -> float | None:
    """Return the share of marked pixels, or None if a mask does not decode; its reader reports the error."""
    try:
        mask = read_masks(sample.masks)
    except InputError:
        return None
    return int(mask.sum(dtype=np.int64)) / mask.size


def to_example(sample: Sample) -> dict[str, bytes]:
    """Return a sample as an example of the index."""
    marked = "" if sample.marked is None else repr(sample.marked)
    texts = vars(sample) | {"masks": SEPARATOR.join(sample.masks), "marked": marked}
    return {field: os.fsencode(texts[field]) for field in FIELDS}


def to_sample(example: dict[str, bytes]) -> Sample:
    """Return the sample of an example of the index."""
    path, category, split, defect, masks, marked = (os.fsdecode(example[field]) for field in FIELDS)
    paths = tuple(masks.split(SEPARATOR)) if masks else ()
    return Sample(path, category, split, defect, paths, float(marked) if marked else None)


def index_key(root: Path) -> str:
    """Return a cache key for the path of `root`, the signatures of the files below it, and the versions."""
    parts = [os.fsencode(root)]
    for folder, names in walk(root, skip=ancestors_of(root)):
        for path in (os.path.join(folder, name) for name in names or ()):
            parts.append(os.fsencode(path) + f"\0{signature(path)}\n".encode())
    return cache_key(*parts)
