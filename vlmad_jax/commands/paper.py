"""Parts of experiments.paper: the values of its flags."""

from __future__ import annotations

from collections.abc import Sequence

from vlmad_jax.data import DATASETS
from vlmad_jax.errors import InputError
from vlmad_jax.studies.config import Domain


def domains_from(values: Sequence[str], dataset: str) -> tuple[Domain, ...]:
    """Return the value of `--domains`; by default both synthetic sets if `dataset` is synthetic."""
    if not values:
        return (Domain("synthetic_train"), Domain("synthetic")) if dataset == "synthetic" else ()
    pairs = [value.partition("=") for value in values]
    for name, _, _ in pairs:
        if name not in DATASETS:
            raise InputError(f"--domains: unknown data set {name!r}; choose from {', '.join(DATASETS)}")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise InputError(f"--domains={','.join(values)}: give each data set once")
    return tuple(Domain(name, directory or None) for name, _, directory in pairs)


def contrasts_from(values: Sequence[str]) -> tuple[float, float] | None:
    """Return the value of `--contrasts`."""
    if not values:
        return None
    try:
        low, high = map(float, values)
    except ValueError:
        given = ",".join(values)
        raise InputError(f"--contrasts={given} are not two numbers; give for example 0.5,1.5") from None
    return low, high
