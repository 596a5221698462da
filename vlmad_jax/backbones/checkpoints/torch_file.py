"""The files that `torch.save` writes, read without torch.

Such a file is a zip archive of stored (not compressed) entries: `<root>/data.pkl` is a pickle of plain
containers in which every tensor is a view of a storage, and `<root>/data/<key>` holds the bytes of one
storage.

A file of torch before 1.6 is a sequence of pickles: a magic number, the version of the format, the sizes of
numbers, the containers, and the storages' keys. The storages follow in the order of the keys, each as its
number of elements and the elements.
"""

import math
import sys
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vlmad_jax.backbones.checkpoints.torch_pickle import REMEDY, STORAGE_DTYPES, Storage, printable, unpickle
from vlmad_jax.errors import InputError

_DAMAGED = "is damaged: download or save it again"

# The first pickles of a file of torch before 1.6.
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001

# A view may repeat elements (stride 0), so that its size is not bounded by the bytes in the file.
_LARGEST_REPEATED_VIEW = 2**28  # bytes


def read_torch_file(path: str | Path) -> Any:
    """Read the content of a `torch.save` file, with its tensors as arrays.

    Args:
        path: A `.bin`, `.pth` or `.pt` file of torch 0.4 or later.

    Returns:
        Nested dict, list, tuple, set, str, bytes, numbers and None with np.ndarray leaves (bfloat16 as
        `ml_dtypes.bfloat16`). Arrays may be read-only, and share memory if the tensors did.

    Raises:
        InputError: The file is missing, damaged or TorchScript; its pickle names anything but tensors and
            plain containers; or a tensor is outside of its storage.
    """
    path = Path(path)
    try:
        with path.open("rb") as sequence:
            if sequence.read(1) == b"\x80":
                sequence.seek(0)
                return _Sequence(sequence, path.stat().st_size).content()
        with zipfile.ZipFile(path) as file:
            archive = _Archive(file, path.stat().st_size)
            return unpickle(archive.read("data.pkl"), archive.tensor)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: {_why_no_archive(path)}") from error
    except Exception as error:  # damaged or malicious pickles raise nearly any exception
        raise InputError(f"{path}: {_DAMAGED} ({type(error).__name__})") from error


def _why_no_archive(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04":
        return _DAMAGED
    return f"is not a file of torch.save: download it again, or {REMEDY}"


class _Archive:
    """The entries of one file."""

    def __init__(self, file: zipfile.ZipFile, size: int) -> None:
        roots = [name.removesuffix("data.pkl") for name in file.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise InputError(f"is a zip archive, but not of torch.save: {REMEDY}")
        self._entries = {entry.filename.removeprefix(roots[0]): entry for entry in file.infolist()}
        self._file = file
        if "constants.pkl" in self._entries:
            raise InputError(f"is a TorchScript archive: torch.jit.load it and {REMEDY}")
        # This bounds the size of what is read by the size of the file.
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in file.infolist())
        if not stored or sum(entry.file_size for entry in file.infolist()) > size:
            raise InputError(f"has entries that are compressed or larger than the file: {REMEDY}")
        self._swapped = "byteorder" in self._entries and self.read("byteorder") != sys.byteorder.encode()
        self._elements: dict[Storage, np.ndarray] = {}

    def read(self, name: str) -> bytes:
        return self._file.read(self._entries[name])

    def tensor(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
        """Return a tensor, a view of its storage; offset and strides count elements."""
        return _view(self._storage(storage), storage, offset, shape, strides)

    def _storage(self, storage: Storage) -> np.ndarray:
        """Return all elements of a storage, (length,)."""
        if storage not in self._elements:
            dtype = np.dtype(STORAGE_DTYPES[storage.type])
            entry = self._entries.get(f"data/{storage.key}")
            if entry is None or entry.file_size != storage.length * dtype.itemsize:
                raise InputError(
                    f"storage {printable(storage.key)} is missing or not of the declared size: {REMEDY}"
                )
            words = np.frombuffer(self._file.read(entry), f"u{dtype.itemsize}")
            self._elements[storage] = (words.byteswap() if self._swapped else words).view(dtype)
        return self._elements[storage]


def _view(elements: np.ndarray, storage: Storage, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
    """Return a tensor, a view of the elements of its storage; offset and strides count elements."""
    count = math.prod(shape)
    if count == 0:
        return np.empty(shape, elements.dtype)
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if last >= elements.size:
        raise InputError(f"holds a tensor outside its storage {printable(storage.key)}: {REMEDY}")
    if count > elements.size and count * elements.itemsize > _LARGEST_REPEATED_VIEW:
        raise InputError(f"holds a tensor that repeats elements beyond 256 MiB: {REMEDY}")
    byte_strides = [stride * elements.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(elements[offset:], shape, byte_strides, writeable=False)


class _Sequence:
    """The pickles and storages of one file of torch before 1.6."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size  # bytes that storages may still take
        self._elements: dict[Storage, np.ndarray] = {}

    def content(self) -> Any:
        """Return the containers, with the elements of all tensors read."""
        if self._value() != _MAGIC or self._value() != _VERSION:
            raise InputError(f"is a pickle, but not of torch.save: {REMEDY}")
        self._value()  # sizes of numbers, which are the same everywhere
        content, keys = self._value(), self._value()
        storages = {storage.key: elements for storage, elements in self._elements.items()}
        if len(storages) < len(self._elements) or not set(storages) <= set(keys):
            raise InputError(f"lacks a storage, or has two of one key: {REMEDY}")
        for key in keys:
            self._read(storages[key])
        return content

    def _value(self) -> Any:
        return unpickle(self._file, self._tensor)

    def _tensor(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
        """Return a view of a storage, whose elements are read after the containers."""
        if storage not in self._elements:
            dtype = np.dtype(STORAGE_DTYPES[storage.type])
            self._left -= storage.length * dtype.itemsize
            if self._left < 0:
                raise InputError(_DAMAGED)
            self._elements[storage] = np.empty(storage.length, dtype)
        return _view(self._elements[storage], storage, offset, shape, strides)

    def _read(self, elements: np.ndarray) -> None:
        """Read the next storage, whose numbers are little-endian."""
        count = int.from_bytes(self._file.read(8), "little")
        data = self._file.read(elements.nbytes)
        if count != elements.size or len(data) < elements.nbytes:
            raise InputError(_DAMAGED)
        words = np.frombuffer(data, f"<u{elements.itemsize}")
        elements.view(f"u{elements.itemsize}")[:] = words
