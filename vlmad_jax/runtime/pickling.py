"""Objects that compute some of themselves when it is first asked for, and can be pickled and copied."""

from __future__ import annotations

import dataclasses
from typing import Any


class FieldsAlone:
    """A dataclass of whose instances the fields alone are pickled, or deep-copied.

    What a `cached_property` keeps is left out: compiled programs cannot be pickled, and all of it can be
    computed again.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
