"""What a data set has to say of itself, and the two folders that all of them know."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmad_jax.data.samples import LeftOut, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_folder


@dataclass(frozen=True)
class Source:
    """A data set before it is read: where its images lie and what each of them is.

    `locate(data_dir)` returns the folder of the images, after extracting or rendering them where that
    is needed; `scan(root)` lists the samples in that folder. Both raise InputError. `object_names` names
    the categories in prompts where their own names would not do. `left_out(root, samples)` lists what lies
    there and is not read, where that may surprise. From a source, `vlmad_jax.data.builder` makes the TFDS
    builder.
    """

    name: str
    homepage: str
    citation: str
    locate: Callable[[Path | None], Path]
    scan: Callable[[Path], list[Sample]]
    object_names: Mapping[str, str] = field(default_factory=dict)
    left_out: Callable[[Path, Sequence[Sample]], list[LeftOut]] = lambda root, samples: []


def require_data_dir(name: str, data_dir: Path | None, holding: str) -> Path:
    """`data_dir` if it exists; otherwise an InputError that says what it should hold."""
    if data_dir is None:
        raise InputError(f"--data_dir is missing: dataset {name} needs {holding}")
    if not data_dir.exists():
        raise InputError(f"--data_dir: {data_dir} does not exist; give {holding}")
    return data_dir.absolute()


def made_once(kind: str, version: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind`/`version` of the cache, which `make` fills when it is not there yet.

    It appears whole or not at all. Raises InputError when the cache cannot be written.
    """
    root = cache_folder() / kind / version
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=".making.") as temporary:
            unfinished = Path(temporary, root.name)
            make(unfinished)
            unfinished.rename(root)
    except OSError as error:
        if not root.is_dir():  # else another process was quicker
            message = f"{root.parent}: cannot be written ({error.strerror})"
            raise InputError(f"{message}; set VLMAD_JAX_CACHE to another folder") from None
    return root
