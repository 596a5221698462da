"""The value of `--params` where several methods run."""

from __future__ import annotations

from collections.abc import Sequence

from vlmad_jax.errors import InputError
from vlmad_jax.methods import BATCHED, method


def params_by_method(values: Sequence[str], methods: Sequence[str]) -> dict[str, str]:
    """Return the paths of learned parameters by method, of "METHOD=PATH" each.

    If only one of the methods learns, its name can be omitted.

    Raises:
      InputError: None of the methods learns, or a path belongs to none of those that do, or to one that has a
        path already; a method is unknown.
    """
    learners = [name for name in methods if name not in BATCHED and "params" in method(name).options]
    given = ",".join(values)
    if given and not learners:
        raise InputError(f"--params is not an option of {' or '.join(methods)}; remove it")
    if given and len(learners) == 1:
        return {learners[0]: given.removeprefix(f"{learners[0]}=")}
    pairs = [(name, path) for name, _, path in (value.partition("=") for value in values)]
    names = [name for name, path in pairs if path]
    if not set(names) <= {*learners} or len(set(names)) < len(pairs):
        expected = ",".join(f"{name}=PATH" for name in learners)
        raise InputError(f"--params={given}: several methods learn; give {expected}")
    return dict(pairs)
