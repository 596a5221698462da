"""Handmade files in the format of `torch.save`, to test their reader without torch."""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Raw:
    """Opcodes that leave one value on the stack."""

    opcodes: bytes


def encode(value: Any) -> bytes:
    """The opcodes of a value, in pickle protocol 2."""
    match value:
        case Raw(opcodes):
            return opcodes
        case None:
            return pickle.NONE
        case bool():
            return pickle.NEWTRUE if value else pickle.NEWFALSE
        case int():
            return pickle.LONG1 + bytes([9]) + value.to_bytes(9, "little", signed=True)
        case str():
            text = value.encode()
            return pickle.BINUNICODE + len(text).to_bytes(4, "little") + text
        case tuple():
            return pickle.MARK + b"".join(map(encode, value)) + pickle.TUPLE
        case list():
            return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(encode, value)) + pickle.APPENDS
        case dict():
            pairs = b"".join(encode(key) + encode(item) for key, item in value.items())
            return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS
    raise TypeError(type(value))


def named(name: str) -> Raw:
    """A global, by its full name."""
    module, _, attribute = name.rpartition(".")
    return Raw(pickle.GLOBAL + f"{module}\n{attribute}\n".encode())


def call(name: str, *args: Any) -> Raw:
    return Raw(encode(named(name)) + encode(args) + pickle.REDUCE)


def build(value: Any, state: Any) -> Raw:
    return Raw(encode(value) + encode(state) + pickle.BUILD)


def storage(kind: str, key: Any, length: int) -> Raw:
    return Raw(encode(("storage", named(f"torch.{kind}"), key, "cpu", length)) + pickle.BINPERSID)


def tensor(kind: str, key: str, length: int, offset: int, shape: Any, strides: Any) -> Raw:
    """A view of a storage of `length` elements, as torch pickles it."""
    hooks = call("collections.OrderedDict")
    place = storage(kind, key, length)
    return call("torch._utils._rebuild_tensor_v2", place, offset, shape, strides, False, hooks)


def ordered_dict(items: dict, metadata: Any) -> Raw:
    """A state dict: an OrderedDict with its attribute `_metadata`."""
    pairs = b"".join(encode(key) + encode(item) for key, item in items.items())
    filled = encode(call("collections.OrderedDict")) + pickle.MARK + pairs + pickle.SETITEMS
    return build(Raw(filled), {"_metadata": metadata})


def write(path: Path, value: Any, storages: dict[str, np.ndarray | bytes], **entries: bytes) -> Path:
    """A file that holds a value (or, as bytes, a whole pickle), its storages and further entries."""
    data = value if isinstance(value, bytes) else pickle.PROTO + b"\x02" + encode(value) + pickle.STOP
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        for name, entry in {"byteorder": b"little", "version": b"3\n", **entries}.items():
            file.writestr(f"archive/{name}", entry)
        for key, array in storages.items():
            file.writestr(f"archive/data/{key}", array if isinstance(array, bytes) else array.tobytes())
    return path


def write_old(path: Path, value: Any, storages: dict[str, np.ndarray]) -> Path:
    """A file of torch before 1.6: pickles in sequence, and then the storages."""
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    encoded = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps(sizes, 2)]
    encoded += [pickle.PROTO + b"\x02" + encode(value) + pickle.STOP, pickle.dumps(list(storages), 2)]
    data = [array.size.to_bytes(8, "little") + array.tobytes() for array in storages.values()]
    path.write_bytes(b"".join(encoded + data))
    return path
