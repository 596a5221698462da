"""The imports of implementations in PyTorch, which `pip install -e '.[peers]'` installs."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from vlmad_jax.errors import InputError

INSTALL = "pip install -e '.[peers]'"


def import_torch() -> Any:
    """Return torch.

    Raises:
      InputError: It is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(f"PyTorch and anomalib are not installed; {INSTALL}") from error
    return torch


def declare_vision_operators() -> None:
    """Declare two operators that importing torchvision requires, if its compiled library does not load.

    The library is missing next to a CPU build of torch. The implementations do not call these operators.

    Raises:
      InputError: torch or torchvision is not installed.
    """
    torch = import_torch()
    if importlib.util.find_spec("torchvision") is None:
        raise InputError(f"torchvision is not installed; {INSTALL}")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.append(library)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]


declared: list[Any] = []  # keeps the libraries, whose operators would be removed with them
