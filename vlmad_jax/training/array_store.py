"""Fixed-size stores of many items, kept in memory or in memory-mapped files and filled item by item."""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from vlmad_jax.runtime.machine import free_device_memory
from vlmad_jax.runtime.notices import print_stderr

Item = dict[str, Any]
Fields = Mapping[str, tuple[Any, tuple[int, ...]]]


@dataclass(frozen=True)
class ArrayStore:
    """A store of `size` items, each a dict of named arrays, that knows which items were written.

    Attributes:
      fields: The (dtype, shape of one item) of each array by name.
      size: The number of items.
      directory: The folder of the memory-mapped files, which a later run can continue to fill. None keeps the
        arrays in memory.
    """

    fields: Fields
    size: int
    directory: pathlib.Path | None = None

    @property
    def nbytes(self) -> int:
        """The size of all items in bytes."""
        return self.size * sum(math.prod(shape) * np.dtype(x).itemsize for x, shape in self.fields.values())

    def create(self) -> None:
        """Create the files that do not exist yet, filled with zeros."""
        if self.directory is None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, (dtype, shape) in self._all_fields.items():
            path = self.directory / f"{name}.npy"
            if not path.exists():
                np.lib.format.open_memmap(path, "w+", dtype, (self.size, *shape)).flush()

    @property
    def _all_fields(self) -> Fields:
        return {**self.fields, "ready": (np.uint8, ())}

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, with a flag for each item in `ready`."""
        if self.directory is None:
            return {name: np.zeros((self.size, *shape), x) for name, (x, shape) in self._all_fields.items()}
        return {name: np.load(self.directory / f"{name}.npy", mmap_mode="r+") for name in self._all_fields}

    def __getstate__(self) -> dict[str, Any]:
        """Return all but open files, of which another process would get whole arrays."""
        open_files = ("arrays",) if self.directory is not None else ()
        return {name: value for name, value in self.__dict__.items() if name not in open_files}

    def on_device(self, names: Iterable[str]) -> dict[str, Any]:
        """Return some of the arrays, copied to an accelerator if it has room for them; a line says so.

        Args:
          names: The names of arrays.

        Returns:
          The arrays by name, (size, ...) each: `jax.Array`s if all items were written and all these arrays
          take at most a third of the memory that is free, otherwise the store's own. Both are indexed by
          arrays of item numbers.
        """
        arrays = {name: self.arrays[name] for name in names}
        free, size = free_device_memory(), sum(x.nbytes for x in arrays.values())
        if not free:
            return arrays
        kept = 3 * size <= free and not self.missing()
        how = "kept on the accelerator" if kept else "copied to the accelerator batch by batch"
        print_stderr(f"{self.directory or 'images'}: {size / 1e9:.1f} GB, {how}")
        return jax.device_put(arrays) if kept else arrays

    def missing(self) -> list[int]:
        """Return the numbers of the items that were not written."""
        return np.flatnonzero(self.arrays["ready"] == 0).tolist()

    def contains(self, index: int) -> bool:
        """Return whether the item was written."""
        return bool(self.arrays["ready"][index])

    def write(self, index: int, item: Item) -> None:
        """Write an item. An interrupted write leaves the item marked as missing."""
        for name, value in item.items():
            self.arrays[name][index] = value
        self.arrays["ready"][index] = 1  # last

    def read(self, index: int) -> Item:
        """Return a copy of an item that was written."""
        return {name: np.array(self.arrays[name][index]) for name in self.fields}
