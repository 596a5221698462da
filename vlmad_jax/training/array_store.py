"""Arrays of many items, filled as they first come, in memory or mapped from disk."""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Item = dict[str, Any]
Fields = Mapping[str, tuple[Any, tuple[int, ...]]]


@dataclass(frozen=True)
class Store:
    """`size` items of named arrays, and which of them are there.

    Attributes:
      fields: name -> (dtype, shape of one item).
      size: how many items.
      directory: where they are kept, as files mapped into memory, which may be cut off and gone on with;
        None keeps them in memory.
    """

    fields: Fields
    size: int
    directory: pathlib.Path | None = None

    @property
    def nbytes(self) -> int:
        """What all items take."""
        return self.size * sum(math.prod(shape) * np.dtype(x).itemsize for x, shape in self.fields.values())

    def create(self) -> None:
        """Makes the files, empty, unless they are there."""
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
        """The arrays by name, `ready` among them."""
        if self.directory is None:
            return {name: np.zeros((self.size, *shape), x) for name, (x, shape) in self._all_fields.items()}
        return {name: np.load(self.directory / f"{name}.npy", mmap_mode="r+") for name in self._all_fields}

    def has(self, index: int) -> bool:
        """Whether the item is there."""
        return bool(self.arrays["ready"][index])

    def put(self, index: int, item: Item) -> None:
        """Keeps an item; one that is cut off on the way is not there."""
        for name, value in item.items():
            self.arrays[name][index] = value
        self.arrays["ready"][index] = 1  # last

    def get(self, index: int) -> Item:
        """An item that is there."""
        return {name: np.array(self.arrays[name][index]) for name in self.fields}
