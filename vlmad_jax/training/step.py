"""The training step: one factory that holds pmap, the averaging over devices, accumulation and donation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

Params = Any
Context = Any
Batch = dict[str, Any]
Parts = dict[str, jax.Array]
AXIS = "devices"
Loss = Callable[[Params, Context, Batch], tuple[jax.Array, Parts]]


class TrainState(NamedTuple):
    """What a step changes, with a leading axis of devices while training."""

    params: Params
    optimizer: optax.OptState
    step: Any = np.int32(0)  # steps taken, from which random numbers follow


Step = Callable[[TrainState, Context, Batch], tuple[TrainState, Parts]]


def make_step(
    loss: Loss, optimizer: optax.GradientTransformation, accumulate: int = 1, seed: int = 0
) -> Step:
    """A compiled step over all devices of all processes.

    Args:
      loss: (params, context, batch) -> the mean loss of the batch, and its terms; the context is frozen. The
        batch it sees holds a "key" of its own, for losses that draw random numbers.
      optimizer: applied to the gradient averaged over devices.
      accumulate: parts of a device's batch that follow one another, for less memory; the mean over them is
        that of the whole batch.
      seed: of the keys, which differ between steps, devices and accumulated parts, and are the same when a
        run is gone on with.

    Returns:
      (state, context, batch) -> (state, terms). All have a leading axis of local devices, from `replicate`
      and `shard`; the state is donated; the terms, "loss" among them, are averages over devices.
    """

    def gradient_of(params: Params, context: Context, batch: Batch) -> tuple[Params, Parts]:
        (value, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, context, batch)
        return gradient, {"loss": value, **parts}

    def step(state: TrainState, context: Context, batch: Batch) -> tuple[TrainState, Parts]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
        if accumulate == 1:
            averaged = gradient_of(state.params, context, {**batch, "key": key})
        else:
            parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), batch)
            parts["key"] = jax.random.split(key, accumulate)
            each = jax.lax.map(lambda part: gradient_of(state.params, context, part), parts)
            averaged = jax.tree.map(lambda x: x.mean(axis=0), each)
        gradient, terms = jax.lax.pmean(averaged, axis_name=AXIS)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, optimizer_state, state.step + 1), terms

    return jax.pmap(step, axis_name=AXIS, donate_argnums=0)


def replicate(tree: Any) -> Any:
    """A copy on every local device, stacked on a leading axis."""
    devices = jax.local_device_count()
    stacked = jax.tree.map(lambda x: np.broadcast_to(x, (devices, *np.shape(x))), jax.device_get(tree))
    # An axis of another name would have the first step compiled once for this tree and once for its own.
    return jax.pmap(lambda x: x, axis_name=AXIS)(stacked) if jax.tree.leaves(stacked) else stacked


def unreplicate(tree: Any) -> Any:
    """The first local device's copy."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)


def shard(batch: Batch) -> Batch:
    """Splits the leading axis over the local devices: (B, ...) -> (devices, B / devices, ...)."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)
