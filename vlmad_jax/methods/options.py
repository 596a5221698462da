"""What a user may choose of a method, by flags of the same names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlmad_jax.errors import InputError


def _option(text: str) -> Any:
    """Return a field that is None unless chosen; `text` is the help of its flag."""
    return field(default=None, metadata={"help": text})


@dataclass(frozen=True)
class MethodOptions:
    """The options of all methods; None leaves the choice to the method.

    A method lists those that it has in `Detector.options`.
    """

    window_sizes: tuple[int, ...] | None = _option("Sides of winclip's windows in patches; 2,3 by default.")
    window_stride: int | None = _option(
        "Patches between winclip's windows; above 1 it trades accuracy for speed."
    )
    merge_tokens: int | None = _option(
        "Tokens that winclip merges in each layer; above 0 it trades accuracy for speed."
    )
    multi_scale_sizes: tuple[int, ...] | None = _option(
        "Other sides in pixels at which winclip also encodes whole images."
    )
    params: str | None = _option("Learned parameters: a folder of experiments.train, or a .pth file.")

    def check(self, method: str, names: Sequence[str]) -> None:
        """Raise InputError if an option is chosen that `method`, whose options are `names`, does not have."""
        for name in self.chosen():
            if name not in names:
                raise InputError(f"--{name} is no option of {method}; leave it out")

    def chosen(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the options that were chosen by name, of those in `names` or of all."""
        values = vars(self).items()
        return {name: x for name, x in values if x is not None and (names is None or name in names)}

    def restricted(self, names: Sequence[str]) -> MethodOptions:
        """Return the options with all but `names` left to the method."""
        return MethodOptions(**self.chosen(names))

    @contextlib.contextmanager
    def named_in_errors(self, names: Sequence[str]) -> Iterator[None]:
        """Put those of the options that were chosen in front of an InputError that they cause."""
        try:
            yield
        except InputError as error:
            chosen = self.chosen(names).items()
            if not chosen:
                raise
            flags = (f"--{name}={','.join(map(str, x)) if isinstance(x, tuple) else x}" for name, x in chosen)
            raise InputError(f"{' '.join(flags)}: {error}") from error


def flattened(config: Any) -> dict[str, Any]:
    """Return the entries of a configuration by name, those of its `options` among them, as JSON has them."""
    entries = dataclasses.asdict(config)
    entries |= entries.pop("options")
    return {name: list(x) if isinstance(x, tuple) else x for name, x in entries.items()}


def unflattened(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a configuration that `flattened` gave these entries."""
    fields: dict[str, Any] = {k: tuple(x) if isinstance(x, list) else x for k, x in entries.items()}
    chosen = {x.name: fields.pop(x.name) for x in dataclasses.fields(MethodOptions) if x.name in fields}
    return {**fields, "options": MethodOptions(**chosen)}
