"""What a user may choose of a method by flags."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vlmad_jax.errors import InputError


@dataclass(frozen=True)
class Options:
    """None is the method's own choice.

    Attributes:
      window_sizes: of methods with windows, their sides in patches.
      window_stride: patches between windows; more than 1 trades accuracy for speed.
      merge_tokens: tokens merged in each layer; more than 0 trades accuracy for speed.
      multi_scale_sizes: other sides in pixels at which the whole image is also read.
      params: of methods that learn, where what they learned is.
    """

    window_sizes: tuple[int, ...] | None = None
    window_stride: int | None = None
    merge_tokens: int | None = None
    multi_scale_sizes: tuple[int, ...] | None = None
    params: str | None = None

    @classmethod
    def of(cls, config: Any) -> Options:
        """Those of a configuration that has them all by these names."""
        return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)})

    def only(self, method: str, *names: str) -> None:
        """Raises InputError if an option that `method` does not have was chosen."""
        for name, value in vars(self).items():
            if value is not None and name not in names:
                raise InputError(f"--{name} is no option of {method}; leave it out")

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named options that were chosen."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @contextlib.contextmanager
    def blamed(self, *names: str) -> Iterator[None]:
        """Names options and their values, where they were chosen, in the InputError that they cause."""
        try:
            yield
        except InputError as error:
            given = self.given(*names).items()
            if not given:
                raise
            shown = " ".join(
                f"--{name}={','.join(map(str, x)) if isinstance(x, tuple) else x}" for name, x in given
            )
            raise InputError(f"{shown}: {error}") from error
