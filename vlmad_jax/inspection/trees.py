"""A tree of arrays as named arrays and a description of the tree, and back.

A tree is nested dicts, named tuples, tuples and lists of arrays. {"text": a, "windows": (b, c)} becomes the
arrays "text", "windows/0" and "windows/1", and the description {"dict": {"text": "text", "windows": {"tuple":
["windows/0", "windows/1"]}}}, which JSON can hold. A named tuple is described like a dict of those of
its fields that are not None, and `restored` makes it again.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def flatten(tree: Any, name: str) -> tuple[Any, Arrays]:
    """The description of a tree, and its arrays by names that begin with `name`.

    Raises TypeError for anything in it but dicts with texts for keys, named tuples, tuples, lists, None and
    arrays.
    """
    if tree is None:
        return None, {}
    if isinstance(tree, tuple) and hasattr(tree, "_asdict"):
        tree = {key: branch for key, branch in tree._asdict().items() if branch is not None}
    if isinstance(tree, Mapping):
        if not all(isinstance(key, str) and "/" not in key for key in tree):
            raise TypeError(f"{name}: has keys that are no plain texts: {list(tree)}")
        parts = {key: flatten(branch, f"{name}/{key}") for key, branch in tree.items()}
        return {"dict": {key: part for key, (part, _) in parts.items()}}, _joined(parts.values())
    if type(tree) in (tuple, list):
        found = [flatten(branch, f"{name}/{k}") for k, branch in enumerate(tree)]
        return {type(tree).__name__: [part for part, _ in found]}, _joined(found)
    array = np.asarray(tree)
    if array.dtype == object:
        raise TypeError(f"{name}: a {type(tree).__name__} is no array")
    return name, {name: array}


def unflatten(description: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree that `flatten` took apart; raises KeyError for an array that is not there."""
    if description is None:
        return None
    if isinstance(description, str):
        return arrays[description]
    ((kind, branches),) = description.items()
    if kind == "dict":
        return {key: unflatten(branch, arrays) for key, branch in branches.items()}
    sequence = [unflatten(branch, arrays) for branch in branches]
    return tuple(sequence) if kind == "tuple" else sequence


def restored(kind: type | None, tree: Any) -> Any:
    """Return a tree whose dict was the named tuple `kind` when it was flattened; `kind` may be another type.

    A field whose type is a named tuple, or a named tuple or None, is restored too.
    """
    if kind is None or not hasattr(kind, "_fields") or tree is None:
        return tree
    types = typing.get_type_hints(kind)
    choices = {name: typing.get_args(x) or (x,) for name, x in types.items()}
    kinds = {name: next((x for x in found if hasattr(x, "_fields")), None) for name, found in choices.items()}
    return kind(**{name: restored(kinds[name], branch) for name, branch in tree.items()})


def _joined(parts: Any) -> Arrays:
    return {name: array for _, arrays in parts for name, array in arrays.items()}
