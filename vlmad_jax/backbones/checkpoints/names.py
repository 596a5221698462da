"""Names of tensors without the modules that training wraps around a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

# Modules that PyTorch wraps around a model or a part of it to compile, shard or recompute it.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def unwrapped(tensors: Mapping[str, T], *anchors: str) -> dict[str, T]:
    """Return tensors by their names without `WRAPPERS` and without a prefix that all names share.

    Args:
      tensors: Tensors by name.
      anchors: Names of the model's own tensors, the first of which that is found determines the prefix.

    >>> unwrapped({"module.ctx": 1, "module.token_prefix": 2}, "ctx")
    {'ctx': 1, 'token_prefix': 2}
    >>> unwrapped({"module.ctx": 1, "token_prefix": 2}, "ctx")
    {'module.ctx': 1, 'token_prefix': 2}
    """
    plain = {without_wrappers(name): tensor for name, tensor in tensors.items()}
    if len(plain) < len(tensors):
        return dict(tensors)
    for anchor in anchors:
        for name in plain:
            prefix = name.removesuffix(anchor)
            if name.endswith(f".{anchor}") and all(other.startswith(prefix) for other in plain):
                return {other.removeprefix(prefix): tensor for other, tensor in plain.items()}
    return plain


def without_wrappers(name: str) -> str:
    """Return a name without the parts in `WRAPPERS`.

    >>> without_wrappers("_orig_mod.visual._checkpoint_wrapped_module.conv1.weight")
    'visual.conv1.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
