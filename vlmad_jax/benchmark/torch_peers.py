"""What every peer written in PyTorch needs to be imported; `pip install -e '.[peers]'`."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from vlmad_jax.errors import InputError

INSTALL = "pip install -e '.[peers]'"


def import_torch() -> Any:
    """torch; InputError if it is not there."""
    try:
        import torch
    except ImportError as error:
        raise InputError(f"the peers need PyTorch and anomalib; {INSTALL}") from error
    return torch


def without_vision_ops() -> None:
    """Declares two of torchvision's operators that its import expects, where its library does not load.

    Its compiled part is missing beside a CPU build of torch; no peer calls it.

    Raises:
      InputError: torch or torchvision is not there.
    """
    torch = import_torch()
    if importlib.util.find_spec("torchvision") is None:
        raise InputError(f"the peers need torchvision; {INSTALL}")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        declared.append(library)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]


declared: list[Any] = []  # a library's operators go when it does
