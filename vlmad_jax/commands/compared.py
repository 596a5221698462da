"""The flags `--methods` and `--params` of commands that run several methods."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from vlmad_jax.errors import InputError
from vlmad_jax.methods import BATCHED, METHODS, has_params, learner, method, trains_networks


def params_by_method(values: Sequence[str], methods: Sequence[str]) -> dict[str, str]:
    """Return the paths of learned parameters by method.

    A method that takes the parameters of another, as the hybrid takes AnomalyCLIP's, has those given for the
    other one, unless it has its own.

    Args:
      values: The parts of the flag, "METHOD=PATH" each, or one path if the methods take those of one alone.
      methods: The methods that run.

    Returns:
      The path of each of these methods that has one.

    Raises:
      InputError: A method is unknown. Parameters are given and none of the methods takes any; or for a method
        whose parameters none takes, or that has some already; or a path without a method, where the methods
        take the parameters of several.
    """
    takers = [name for name in methods if name not in BATCHED and "params" in method(name).options]
    given = ",".join(values)
    if given and not takers:
        raise InputError(f"--params is not an option of {' or '.join(methods)}; remove it")
    pairs = [(name, path) for name, _, path in (value.partition("=") for value in values)]
    names = [name for name, path in pairs if path]
    if len({learner(name) for name in takers}) == 1 and given and not set(names) & {*METHODS}:
        return dict.fromkeys(takers, given)
    if not set(names) <= {*takers, *map(learner, takers)} or len(set(names)) < len(pairs):
        expected = ",".join(f"{name}=PATH" for name in takers)
        raise InputError(f"--params={given}: give {expected}" + (" or some of these" if takers[1:] else ""))
    paths = dict(pairs)
    taken = {name: paths.get(name, paths.get(learner(name))) for name in takers}
    return {name: path for name, path in taken.items() if path}


def all_methods(weights: str, params: Collection[str]) -> tuple[str, ...]:
    """Return the methods to compare if none are named, and print which are left out and why.

    Args:
      weights: The name of the backbone's weights.
      params: The methods with given parameters.
    """
    networks = [name for name in METHODS if trains_networks(name)]
    missing = [name for name in METHODS if not has_params(name, weights, params)]
    for names, reason in (
        (missing, "no learned parameters in --params"),
        (networks, "they train networks for each category, which is slow; name them in --methods"),
    ):
        if names:
            print(f"left out: {', '.join(names)} ({reason})", file=sys.stderr)
    return tuple(name for name in METHODS if name not in (*networks, *missing))
