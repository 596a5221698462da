"""The transformers library without its advice to install PyTorch, which this package does not need."""

from __future__ import annotations

import os
from types import ModuleType

SILENCE = "TRANSFORMERS_NO_ADVISORY_WARNINGS"


def transformers() -> ModuleType:
    """Import the library without the advice; its other messages are kept."""
    before = os.environ.get(SILENCE)
    os.environ[SILENCE] = "1"
    try:
        import transformers
    finally:
        if before is None:
            del os.environ[SILENCE]
        else:
            os.environ[SILENCE] = before
    return transformers
