"""The training step: one factory that holds pmap, the averaging over devices and donation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

Params = Any
Batch = Any
Parts = dict[str, jax.Array]
Loss = Callable[[Params, Batch], tuple[jax.Array, Parts]]


class TrainState(NamedTuple):
    """What a step changes, with a leading axis of devices while training."""

    params: Params
    optimizer: optax.OptState


def make_step(
    loss: Loss, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Batch], tuple[TrainState, Parts]]:
    """A compiled step over all local devices.

    Args:
      loss: (params, batch) -> the mean loss of the batch, and its named terms.
      optimizer: applied to the gradient averaged over devices.

    Returns:
      (state, batch) -> (state, terms). State and batch have a leading axis of devices, from `replicate` and
      `shard`; the state is donated; the terms, "loss" among them, are averages over devices.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Parts]:
        (value, parts), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, batch)
        gradient, terms = jax.lax.pmean((gradient, {"loss": value, **parts}), axis_name="devices")
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        return TrainState(optax.apply_updates(state.params, updates), optimizer_state), terms

    return jax.pmap(step, axis_name="devices", donate_argnums=0)


def replicate(tree: Any) -> Any:
    """A copy for every local device, stacked on a leading axis; the first step moves them there."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: np.broadcast_to(x, (devices, *np.shape(x))), jax.device_get(tree))


def unreplicate(tree: Any) -> Any:
    """The first device's copy."""
    return jax.tree.map(lambda x: x[0], tree)


def shard(batch: Batch) -> Batch:
    """Splits the leading axis over the local devices: (B, ...) -> (devices, B / devices, ...)."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)
