"""What the index of a data set holds, and the index as a plain file, where TFDS cannot write one.

TFDS keeps examples in files of the package array_record, which Windows lacks. There the index is a file of
JSON lines, in the same place and as long-lived.
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
from vlmad_jax.runtime.files import leads_up, walk, write_atomically

FIELDS = ("path", "category", "split", "defect", "masks", "marked")
BETWEEN = "\0"  # masks of one sample: no path has it in it


def has_array_record() -> bool:
    """Whether TFDS can write an index here."""
    try:
        return importlib.util.find_spec("array_record") is not None
    except ValueError:  # it is in sys.modules, but not from a file
        return False


def plain_samples(source: Source, root: Path) -> list[Sample]:
    """The samples below `root`, from the file of JSON lines that holds them, which is made at the first call.

    Raises what `source.scan` raises, and InputError when the cache cannot be written.
    """
    path = cache_folder() / "index" / digest_of(root) / f"{source.name}.jsonl"
    if not path.exists():
        samples = with_marked(source.scan(root))
        lines = (json.dumps(list(map(os.fsdecode, to_example(sample).values()))) for sample in samples)
        try:
            write_atomically(path, "".join(f"{line}\n" for line in lines))
        except (OSError, InputError) as error:
            raise cannot_write(error) from None
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return in_order([to_sample(dict(zip(FIELDS, map(os.fsencode, row), strict=True))) for row in rows])


def cannot_write(error: Exception) -> InputError:
    """What to raise where the cache cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"{cache_folder()}: cannot be written ({reason}); set VLMAD_JAX_CACHE to another folder"
    )


def in_order(samples: Sequence[Sample]) -> list[Sample]:
    """By category, train before test, in the order that is given."""
    return sorted(samples, key=lambda sample: (sample.category, sample.split == "test"))


def with_marked(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with the share that their masks mark, which is read in threads."""
    drawn = [sample for sample in samples if sample.masks]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        shares = threads.map(_marked, drawn)
        with tqdm(shares, "reading masks", len(drawn), leave=False, delay=2, disable=None) as bar:
            found = {sample.path: share for sample, share in zip(drawn, bar, strict=True)}
    return [dataclasses.replace(sample, marked=found.get(sample.path)) for sample in samples]


def _marked(sample: Sample) -> float | None:
    """The share that is marked; None of masks that do not decode, which whoever reads them tells."""
    try:
        mask = read_masks(sample.masks)
    except InputError:
        return None
    return int(mask.sum(dtype=np.int64)) / mask.size


def to_example(sample: Sample) -> dict[str, bytes]:
    """A sample as the index holds it."""
    marked = "" if sample.marked is None else repr(sample.marked)
    texts = vars(sample) | {"masks": BETWEEN.join(sample.masks), "marked": marked}
    return {field: os.fsencode(texts[field]) for field in FIELDS}


def to_sample(example: dict[str, bytes]) -> Sample:
    """The sample of an example."""
    path, category, split, defect, masks, marked = (os.fsdecode(example[field]) for field in FIELDS)
    paths = tuple(masks.split(BETWEEN)) if masks else ()
    return Sample(path, category, split, defect, paths, float(marked) if marked else None)


def digest_of(root: Path) -> str:
    """16 hexadecimal digits of the path of `root`, the signatures of the files below it, and the versions."""
    parts = [os.fsencode(root)]
    for folder, names in walk(root, closed=leads_up(root)):
        for path in (os.path.join(folder, name) for name in names or ()):
            parts.append(os.fsencode(path) + f"\0{signature(path)}\n".encode())
    return cache_key(*parts)
