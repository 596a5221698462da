"""Published systems, one file each."""

from __future__ import annotations

from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Scores
from vlmad_jax.methods.winclip import WinCLIP

METHODS = {"winclip": WinCLIP}


def method(name: str) -> type[WinCLIP]:
    """The detector class of that name; InputError lists the choices."""
    if name not in METHODS:
        raise InputError(f"method {name!r} is not one of {', '.join(METHODS)}; give one of these")
    return METHODS[name]


__all__ = ["METHODS", "Scores", "WinCLIP", "method"]
