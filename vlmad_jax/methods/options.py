"""What a user may choose of a method by flags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vlmad_jax.errors import InputError


@dataclass(frozen=True)
class Options:
    """None is the method's own choice.

    Attributes:
      window_sizes: of methods with windows, their sides in patches.
      params: of methods that learn, where what they learned is.
    """

    window_sizes: tuple[int, ...] | None = None
    params: str | None = None

    def only(self, method: str, *names: str) -> None:
        """Raises InputError if an option that `method` does not have was chosen."""
        for name, value in vars(self).items():
            if value is not None and name not in names:
                raise InputError(f"--{name} is no option of {method}; leave it out")

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named options that were chosen."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @contextlib.contextmanager
    def blamed(self, name: str) -> Iterator[None]:
        """Names an option and its value in the InputError that it causes."""
        try:
            yield
        except InputError as error:
            value = getattr(self, name)
            if value is None:
                raise
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            raise InputError(f"--{name}={shown}: {error}") from error
