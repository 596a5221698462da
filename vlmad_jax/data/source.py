"""The definition of a data set, and helpers for its folder."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlmad_jax.data.samples import Sample, Skipped
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_folder


@dataclass(frozen=True)
class Source:
    """The definition of a data set, from which `vlmad_jax.data.builder` makes a TFDS builder.

    Attributes:
      name: The name of the data set.
      homepage: The URL of the data set.
      citation: What to cite.
      locate: Returns the root folder for a `data_dir`, after extracting or rendering the images if necessary;
        raises InputError.
      scan: Lists the samples in the root folder; raises InputError.
      object_names: Names of categories for prompts, where the category's own name is not suitable.
      skipped: Given the root folder and the samples, lists files that a user may expect to be read, but are
        not.
      one_class: Whether the data set may lack normal images.
      apart: Defects whose metrics are also reported apart, each with all normal images.
      by_folder: Whether the images of one folder are views of one thing, whose score is their maximum.
      private: Lists the images in the root folder whose labels are not published.
    """

    name: str
    homepage: str
    citation: str
    locate: Callable[[Path | None], Path]
    scan: Callable[[Path], list[Sample]]
    object_names: Mapping[str, str] = field(default_factory=dict)
    skipped: Callable[[Path, Sequence[Sample]], list[Skipped]] = lambda root, samples: []
    one_class: bool = False
    apart: tuple[str, ...] = ()
    by_folder: bool = False
    private: Callable[[Path], list[Sample]] = lambda root: []


def require_data_dir(name: str, data_dir: Path | None, holding: str) -> Path:
    """Return the absolute `data_dir`.

    Raises:
      InputError: It is missing; the message says what it should hold.
    """
    if data_dir is None:
        raise InputError(f"--data_dir is missing: dataset {name} needs {holding}")
    if not data_dir.exists():
        raise InputError(f"--data_dir: {data_dir} does not exist; give {holding}")
    return data_dir.absolute()


def cached_folder(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `kind`/`key` of the cache, after filling it with `make` if it does not exist.

    The folder appears only once it is complete.

    Raises:
      InputError: The cache cannot be written.
    """
    root = cache_folder() / kind / key
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=".making.") as temporary:
            unfinished = Path(temporary, root.name)
            make(unfinished)
            unfinished.rename(root)
    except OSError as error:
        if not root.is_dir():  # otherwise another process has made it
            message = f"{root.parent}: cannot be written ({error.strerror})"
            raise InputError(f"{message}; set VLMAD_JAX_CACHE to another folder") from None
    return root
