"""The options of methods, which users set with flags of the same names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlmad_jax.errors import InputError

Name = str  # of a choice; an option of type `str` is a path


def _option(text: str) -> Any:
    """Return a dataclass field with default None and the help text of its flag."""
    return field(default=None, metadata={"help": text})


# The metadata of a field that is younger than the first results. `flattened` omits its default, so that the
# configurations of older results stay the same.
YOUNGER = {"younger": True}


@dataclass(frozen=True)
class MethodOptions:
    """The options of all methods; None means the method's default.

    `Detector.options` lists the options that a method has.
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
    feature_layers: tuple[int, ...] | None = _option(
        "Vision layers, counted from 1, whose patch features are compared."
    )
    image_neighbours: tuple[int, ...] | None = _option(
        "Numbers of similar images that musc averages image scores over; 1,2,3 by default, 1,8,9 for VisA."
    )
    unit_length: bool | None = _option("Scale the patch feature of each of patchcore's layers to length 1.")
    rotations: tuple[int, ...] | None = _option(
        "Degrees of the rotated copies of anomalydino's references, such as 45,90,135,180,225,270,315."
    )
    mask_foreground: bool | None = _option("Give patches of the background anomalydino's score 0.")
    mask_references: bool | None = _option("Leave the references' background out of anomalydino's memory.")
    mask_filter: Name | None = _option(  # noqa: RUF009  a field of `field`, like all others
        "Filter anomalydino's masks flat, in reading order, or over the grid."
    )
    explained_variance: float | None = _option("Share of the variance that subspacead's subspace explains.")
    random_rotations: int | None = _option("Randomly rotated copies of each of subspacead's references.")
    network_width: int | None = _option(
        "Channels of the first convolution of ganomaly (16; published 64) and draem (8; published 128)."
    )
    resolution: int | None = _option(
        "Longest side in pixels of what autoencoder, ganomaly and draem reconstruct; 128 by default."
    )
    steps: int | None = _option("Training steps of autoencoder, ganomaly and draem for each category.")
    params: str | None = _option("Learned parameters: a folder of experiments.train, or a .pth file.")

    def check(self, method: str, names: Sequence[str]) -> None:
        """Check that only options of a method are set.

        Args:
          method: The method's name.
          names: The options that it has.

        Raises:
          InputError: Another option is set.
        """
        for name in self.chosen():
            if name not in names:
                raise InputError(f"--{name} is not an option of {method}; remove it")

    def chosen(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the options that are set by name, all or only those in `names`."""
        values = vars(self).items()
        return {name: x for name, x in values if x is not None and (names is None or name in names)}

    def restricted(self, names: Sequence[str]) -> MethodOptions:
        """Return these options with only those in `names` set."""
        return MethodOptions(**self.chosen(names))

    @contextlib.contextmanager
    def named_in_errors(self, names: Sequence[str]) -> Iterator[None]:
        """Prefix an InputError with the set options in `names`, as flags."""
        try:
            yield
        except InputError as error:
            chosen = self.chosen(names).items()
            if not chosen:
                raise
            flags = (f"--{name}={','.join(map(str, x)) if isinstance(x, tuple) else x}" for name, x in chosen)
            raise InputError(f"{' '.join(flags)}: {error}") from error


def flattened(config: Any) -> dict[str, Any]:
    """Return the fields of a configuration and of its `options` as one JSON object."""
    entries = dataclasses.asdict(config)
    for name in younger_defaults(config):
        del entries[name]
    entries |= entries.pop("options")
    return {name: list(x) if isinstance(x, tuple) else x for name, x in entries.items()}


def younger_defaults(config: Any) -> list[str]:
    """Return the names of fields marked `YOUNGER` that have their default."""
    marked = (x for x in dataclasses.fields(config) if x.metadata.get("younger"))
    return [x.name for x in marked if getattr(config, x.name) == x.default]


def unflattened(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a configuration from the entries that `flattened` made."""
    fields: dict[str, Any] = {k: tuple(x) if isinstance(x, list) else x for k, x in entries.items()}
    chosen = {x.name: fields.pop(x.name) for x in dataclasses.fields(MethodOptions) if x.name in fields}
    return {**fields, "options": MethodOptions(**chosen)}
