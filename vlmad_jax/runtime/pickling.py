"""Pickling of dataclasses that cache computed properties."""

from __future__ import annotations

import dataclasses
from typing import Any


class PickleFieldsOnly:
    """Base of dataclasses that pickle and deep-copy their fields only.

    Values of a `cached_property` are skipped: some are compiled programs, which cannot be pickled, and all
    can be computed again.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
