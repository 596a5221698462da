"""Read the files that `torch.save` writes, without torch and without running what is in them.

Such a file is a zip archive: `<root>/data.pkl` is a pickle of plain containers in which every tensor is a
view into a storage, and `<root>/data/<key>` holds the bytes of one storage. A pickle may name any Python
callable and have it called, so reading takes two steps. Unpickling only makes inert records: the few allowed
names are stood for by records or by `_StandIn`s that cannot be changed, and every other name is refused. Then
the records are checked against the archive and become arrays.
"""

import io
import math
import pickle
import pickletools
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from vlmad_jax.errors import InputError

_DAMAGED = "is damaged: download or save it again"
_REMEDY = "save tensors and plain containers only with torch.save, or use a safetensors file"

# A view may repeat elements (stride 0), so that its size is not bounded by the bytes in the file.
_LARGEST_REPEATED_VIEW = 2**28  # bytes

_STORAGE_DTYPES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_torch_file(path: str | Path) -> Any:
    """What `torch.save` put into a file, with its tensors as arrays.

    Args:
        path: a `.bin`, `.pth` or `.pt` file of torch 1.6 or later.

    Returns:
        dict, list, tuple, set, str, bytes, numbers and None, nested as they were saved, with np.ndarray
        leaves (bfloat16 as `ml_dtypes.bfloat16`). Arrays may be read-only; tensors that shared a storage share
        memory still.

    Raises:
        InputError: the file is missing, truncated, older than torch 1.6 or TorchScript; its pickle names
            anything but tensors and plain containers; or a tensor does not lie inside its storage.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as file:
            archive = _Archive(file, path.stat().st_size)
            return _Materialiser(archive).plain(_unpickle(archive.read("data.pkl")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: {_why_no_archive(path)}") from error
    except Exception as error:  # a damaged or hostile pickle makes the unpickler raise nearly anything
        raise InputError(f"{path}: {_DAMAGED} ({type(error).__name__})") from error


def _why_no_archive(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04":
        return _DAMAGED
    if start[:1] == b"\x80":
        return f"is a bare pickle, as torch before 1.6 wrote: {_REMEDY}"
    return f"is not a file of torch.save: download it again, or {_REMEDY}"


class _StorageType(NamedTuple):
    name: str


class _Storage(NamedTuple):
    type: _StorageType
    key: str
    count: int  # elements


class _View(NamedTuple):
    """A tensor as the pickle tells it, unchecked; offset, shape and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StateDict(dict):
    """Stands for OrderedDict. Torch adds `_metadata` (module versions) to it, which is left out."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict or set(state) - {"_metadata"}:
            raise InputError(f"refuses to set attributes of an OrderedDict: {_REMEDY}")


class _StandIn:
    """Stands for an allowed callable: it can be called, and a pickle can do nothing else with it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable) -> None:
        self._call = call

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setstate__(self, state: Any) -> None:
        raise InputError(f"refuses to set attributes of a function: {_REMEDY}")


def _rebuild_tensor(storage, offset, shape, strides, requires_grad=False, hooks=None, flags=None) -> _View:
    if flags:
        raise InputError(f"holds a tensor that is conjugated or negated lazily: {_REMEDY}")
    return _View(storage, offset, shape, strides)


def _rebuild_parameter(data, requires_grad=True, hooks=None) -> Any:
    return data


_ALLOWED: dict[str, Any] = {
    "collections.OrderedDict": _StandIn(_StateDict),
    "torch.Size": _StandIn(tuple),
    "builtins.set": _StandIn(set),
    "__builtin__.set": _StandIn(set),  # as pickle protocol 2 spells it
    "torch._utils._rebuild_tensor_v2": _StandIn(_rebuild_tensor),
    "torch._utils._rebuild_parameter": _StandIn(_rebuild_parameter),
    **{f"torch.{name}": _StorageType(name) for name in _STORAGE_DTYPES},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name not in _ALLOWED:
            raise InputError(f"refuses {_printable(full_name)}: {_REMEDY}")
        return _ALLOWED[full_name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _device, count = pid
        if kind != "storage":
            raise InputError(f"refuses a persistent id that is no storage: {_REMEDY}")
        return _Storage(storage_type, key, count)


def _unpickle(data: bytes) -> Any:
    """The containers of a pickle, with `_View`s for tensors."""
    for opcode, argument, _position in pickletools.genops(data):
        # What an extension code names may come out of a cache, past find_class.
        if opcode.name in ("EXT1", "EXT2", "EXT4"):
            raise InputError(f"refuses extension code {argument}: {_REMEDY}")
        # The unpickler allocates as many memo slots as the largest index asks for.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(data):
            raise InputError(f"{_DAMAGED} (memo index {argument})")
    return _Unpickler(io.BytesIO(data)).load()


class _Archive:
    """The zip entries of one file; sizes are checked before bytes are read."""

    def __init__(self, file: zipfile.ZipFile, size: int) -> None:
        roots = [name.removesuffix("data.pkl") for name in file.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise InputError(f"is a zip archive, but not of torch.save: {_REMEDY}")
        self._file, self._size, self._root = file, size, roots[0]
        if self._has("constants.pkl"):
            raise InputError(f"is a TorchScript archive: torch.jit.load it and {_REMEDY}")
        self._swapped = self._has("byteorder") and self.read("byteorder") != sys.byteorder.encode()
        self._storages: dict[str, np.ndarray] = {}

    def read(self, name: str) -> bytes:
        if not self._has(name):
            raise InputError(f"lacks its entry {_printable(name)}: download or save it again")
        entry = self._file.getinfo(self._root + name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._size:
            raise InputError(f"entry {_printable(name)} is compressed or larger than the file: {_REMEDY}")
        return self._file.read(entry)

    def storage(self, storage: _Storage) -> np.ndarray:
        """All elements of a storage, (count,), read once a key."""
        dtype = np.dtype(_STORAGE_DTYPES[storage.type.name])
        name = f"data/{storage.key}"
        size = self._file.getinfo(self._root + name).file_size if self._has(name) else 0
        if size != storage.count * dtype.itemsize:
            raise InputError(
                f"storage {_printable(storage.key)} has not the declared size: download or save it again"
            )
        if storage.key not in self._storages:
            self._storages[storage.key] = np.frombuffer(self.read(name), np.uint8)
        raw = self._storages[storage.key]
        return raw.view(f"u{dtype.itemsize}").byteswap().view(dtype) if self._swapped else raw.view(dtype)

    def _has(self, name: str) -> bool:
        return self._root + name in self._file.NameToInfo


class _Materialiser:
    """Turns the records in nested plain containers into arrays."""

    def __init__(self, archive: _Archive) -> None:
        self._archive = archive
        # id -> (value, its result), so that shared containers stay shared and sharing that is nested does not
        # multiply the work. Holding the value keeps its id from being used again.
        self._done: dict[int, tuple[Any, Any]] = {}

    def plain(self, value: Any) -> Any:
        if value is None or type(value) in (str, bytes, int, float, complex, bool):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = value, None
            self._done[id(value)] = value, self._convert(value)
        result = self._done[id(value)][1]
        if result is None:
            raise InputError(f"holds a container that contains itself: {_REMEDY}")
        return result

    def _convert(self, value: Any) -> Any:
        kind = type(value)
        if kind is _View:
            return self._array(value)
        if kind in (dict, _StateDict):
            return {self.plain(key): self.plain(item) for key, item in value.items()}
        if kind in (list, tuple, set, frozenset):
            return kind(self.plain(item) for item in value)
        raise InputError(f"holds an object that is no tensor or plain container: {_REMEDY}")

    def _array(self, view: _View) -> np.ndarray:
        storage, offset, shape, strides = view
        if type(storage) is not _Storage or type(storage.type) is not _StorageType:
            raise InputError(f"holds a tensor without a storage: {_REMEDY}")
        numbers = (storage.count, offset, *shape, *strides)
        if len(shape) != len(strides) or any(type(number) is not int or number < 0 for number in numbers):
            raise InputError(f"holds a tensor with negative or senseless sizes or strides: {_REMEDY}")
        elements = self._archive.storage(storage)
        count = math.prod(shape)
        if count == 0:
            return np.empty(shape, elements.dtype)
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if last >= elements.size:
            raise InputError(f"holds a tensor outside its storage {_printable(storage.key)}: {_REMEDY}")
        if count > elements.size and count * elements.itemsize > _LARGEST_REPEATED_VIEW:
            raise InputError(f"holds a tensor of {_LARGEST_REPEATED_VIEW} repeated bytes or more: {_REMEDY}")
        byte_strides = [stride * elements.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(elements[offset:], shape, byte_strides, writeable=False)


def _printable(name: Any) -> str:
    """A name from the file on one short line, whatever characters it holds."""
    return ascii(name).strip("'\"")[:100]
