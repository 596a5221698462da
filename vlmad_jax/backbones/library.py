"""The transformers library without its advice to install PyTorch, which nothing here needs."""

from __future__ import annotations

import os
from types import ModuleType

SILENCE = "TRANSFORMERS_NO_ADVISORY_WARNINGS"


def transformers() -> ModuleType:
    """The library, imported at the first call; what else it has to say is heard."""
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
