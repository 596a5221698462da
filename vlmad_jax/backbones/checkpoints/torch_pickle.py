"""The pickle inside a file of `torch.save`, read without torch and without calling anything that it names.

A pickle is a program for a small stack machine. Python's own machine imports, calls and changes whatever a
pickle names, and hashes keys of unbounded depth. This machine supports only the instructions that torch.save
writes for tensors and plain containers. It rejects names outside of `_NAMES`, which `_Machine._call`
implements.
"""

import pickletools
import re
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from vlmad_jax.errors import InputError

REMEDY = "save tensors and plain containers only with torch.save, or use a safetensors file"

STORAGE_DTYPES: dict[str, Any] = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool_,
}
# NumPy scalars, such as learning rates in the state of an optimiser.
_SCALARS = frozenset({"numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar"})
_SCALAR_DTYPE = re.compile("[fiub][1248]")
_NAMES = frozenset(
    {
        *_SCALARS,
        "numpy.dtype",
        "_codecs.encode",  # as protocol 2 spells bytes
        "collections.OrderedDict",
        "builtins.set",
        "__builtin__.set",  # as protocol 2 spells it
        "torch.Size",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        *STORAGE_DTYPES,
    }
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    {
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}


class Storage(NamedTuple):
    """An array of elements in the archive; several tensors may be views of one."""

    type: str  # in STORAGE_DTYPES
    key: str
    length: int  # in elements


def unpickle(data: bytes | BinaryIO, tensor: Callable[[Storage, int, tuple, tuple], Any]) -> Any:
    """Return the value of a pickle that torch.save wrote.

    Args:
        data: The pickle, protocol 2 to 5, or a file at its start, which is then read to its end.
        tensor: A function of storage, offset, shape and strides to a tensor. The numbers count elements and
          are
            non-negative integers, but not checked otherwise.

    Raises:
        InputError: The pickle names anything but tensors and plain containers (without the file's name).
        Exception: The pickle is damaged; nearly any exception is possible.
    """
    machine = _Machine(tensor)
    for opcode, argument, _position in pickletools.genops(data):
        if opcode.name == "STOP":
            break
        machine.step(opcode.name, argument)
    return _item(machine.stack.pop())


class _Name(NamedTuple):
    name: str


class _Machine:
    def __init__(self, tensor: Callable) -> None:
        self.stack: list[Any] = []
        self._below_marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._tensor = tensor

    def step(self, opcode: str, argument: Any) -> None:
        pop, push = self.stack.pop, self._push
        if opcode in _LITERALS:
            push(argument)
        elif opcode in _CONSTANTS:
            push(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            push(_EMPTY[opcode]())
        else:
            match opcode:
                case "PROTO" | "FRAME":
                    pass
                case "BINPUT" | "LONG_BINPUT":
                    self._memo[argument] = self.stack[-1]
                case "MEMOIZE":
                    self._memo[len(self._memo)] = self.stack[-1]
                case "BINGET" | "LONG_BINGET":
                    push(self._memo[argument])
                case "MARK":
                    self._below_marks.append(self.stack)
                    self.stack = []
                case "TUPLE":
                    push(tuple(self._above_mark()))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    push(tuple(pop() for _ in range(int(opcode[-1])))[::-1])
                case "APPEND":
                    self._extend([pop()])
                case "APPENDS":
                    self._extend(self._above_mark())
                case "ADDITEMS":
                    self._add(self._above_mark())
                case "SETITEM":
                    item, key = pop(), pop()
                    self._set([key], [item])
                case "SETITEMS":
                    items = self._above_mark()
                    self._set(items[::2], items[1::2])
                case "GLOBAL":
                    push(_name(*argument.split(" ", 1)))
                case "STACK_GLOBAL":
                    name, module = pop(), pop()
                    push(_name(module, name))
                case "INST":
                    raise _refused(printable(argument.replace(" ", ".", 1)))
                case "BINPERSID":
                    push(_storage(*pop()))
                case "REDUCE":
                    arguments, function = pop(), pop()
                    push(self._call(function, *arguments))
                case "BUILD":
                    self._build(pop())
                case _:
                    raise _refused(f"pickle opcode {opcode}")

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below_marks.pop()
        return items

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError(f"needs a {kind.__name__}")
        return self.stack[-1]

    def _extend(self, items: Iterable[Any]) -> None:
        self._top(list).extend(map(_item, items))

    def _add(self, items: Iterable[Any]) -> None:
        self._top(set).update(map(_key, items))

    def _set(self, keys: list[Any], items: list[Any]) -> None:
        self._top(dict).update(zip(map(_key, keys), map(_item, items), strict=True))

    def _build(self, state: Any) -> None:
        """Check attributes: those of an OrderedDict may only be torch's `_metadata` (module versions).

        Those of a NumPy dtype must state the byte order of `_call`. Neither is used.
        """
        if isinstance(self.stack[-1], np.dtype):
            if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|"):
                raise _refused("a NumPy number that is not little-endian")
            return
        self._top(dict)
        if type(state) is not dict or set(state) - {"_metadata"}:
            raise _refused("attributes of an OrderedDict")

    def _call(self, function: Any, *arguments: Any) -> Any:
        if type(function) is not _Name:
            raise _refused("a call of something that is not a function")
        match function.name, arguments:
            case "collections.OrderedDict", ():
                return {}
            case "numpy.dtype", (str() as kind, *_) if _SCALAR_DTYPE.fullmatch(kind):
                return np.dtype(f"<{kind}")
            case "_codecs.encode", (str() as text, "latin1"):
                return text.encode("latin1")
            case name, (np.dtype() as dtype, bytes() as number) if name in _SCALARS:
                return np.frombuffer(number, dtype, 1)[0].item()
            case "torch.Size", (list() | tuple() as sizes,):
                return tuple(sizes)
            case (("builtins.set" | "__builtin__.set"), (list() as items,)):
                return set(map(_key, items))
            case "torch._utils._rebuild_parameter", (data, _requires_grad, _hooks):
                return _item(data)
            case "torch._utils._rebuild_tensor_v2", (Storage() as storage, offset, shape, strides, *rest):
                if any(rest[2:]):
                    raise _refused("a tensor that is conjugated or negated lazily")
                for number in (offset, *shape, *strides):
                    _check_count(number)
                return self._tensor(storage, offset, tuple(shape), tuple(strides))
        raise _refused(f"a call of {function.name} with such arguments")


def _name(module: Any, name: Any) -> _Name:
    full_name = f"{module}.{name}" if type(module) is type(name) is str else "a name that is not text"
    if full_name not in _NAMES:
        raise _refused(printable(full_name))
    return _Name(full_name)


def _storage(kind: Any, storage_type: Any, key: Any, _device: Any, length: Any, part: Any = None) -> Storage:
    if part is not None:  # as torch before 0.4 wrote
        raise _refused("a storage that is a part of another")
    if kind != "storage" or type(storage_type) is not _Name or type(key) is not str:
        raise _refused("a persistent id that is not a storage")
    _check_count(length)
    return Storage(storage_type.name, key, length)


def _check_count(number: Any) -> None:
    if type(number) is not int or number < 0:
        raise InputError(f"has a tensor with an invalid size, stride or offset: {REMEDY}")


def _key(value: Any) -> Any:
    """Return a key that is not a container, whose hashing may never end or overflow the stack."""
    if value is not None and type(value) not in (str, bytes, int, float, bool):
        raise _refused("a dictionary key or set element that is a container")
    return value


def _item(value: Any) -> Any:
    if isinstance(value, _Name | Storage | np.dtype):
        raise _refused("a bare function, type or storage")
    return value


def _refused(what: str) -> InputError:
    return InputError(f"refuses {what}: {REMEDY}")


def printable(name: str) -> str:
    """Return a name from the file on one short line, whatever its characters."""
    return ascii(name)[1:-1][:100]
