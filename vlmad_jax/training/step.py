"""The data-parallel training step: pmap, averaging over devices, gradient accumulation and donation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

Params = Any
Context = Any
Batch = dict[str, Any]
LossTerms = dict[str, jax.Array]
AXIS = "devices"
Loss = Callable[[Params, Context, Batch], tuple[jax.Array, LossTerms]]


class TrainState(NamedTuple):
    """The values that a step updates, with a leading axis of devices during training."""

    params: Params
    optimizer: optax.OptState
    step: Any = np.int32(0)  # completed steps, which seed the random numbers


Step = Callable[[TrainState, Context, Batch], tuple[TrainState, LossTerms]]


def make_step(
    loss: Loss, optimizer: optax.GradientTransformation, accumulate: int = 1, seed: int = 0
) -> Step:
    """Return a compiled step over all devices of all processes.

    Args:
      loss: (params, context, batch) -> (mean loss of the batch, its terms). The context is frozen. The batch
        has a random "key", for losses that draw random numbers.
      optimizer: The optimizer of the gradient averaged over devices.
      accumulate: The number of parts into which each device's batch is split to save memory. The gradient is
        the mean over the parts.
      seed: The seed of the keys, which differ between steps, devices and parts, and are the same after a
        resumed run.

    Returns:
      (state, context, batch) -> (state, terms). All have a leading axis of local devices, as `replicate` and
      `shard` give them. The state is donated. The terms, which include "loss", are averages over devices.
    """

    def gradient_of(params: Params, context: Context, batch: Batch) -> tuple[Params, LossTerms]:
        (value, parts), gradient = jax.value_and_grad(loss, has_aux=True)(params, context, batch)
        return gradient, {"loss": value, **parts}

    def step(state: TrainState, context: Context, batch: Batch) -> tuple[TrainState, LossTerms]:
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
    """Copy a tree to every local device, stacked along a leading axis."""
    devices = jax.local_device_count()
    stacked = jax.tree.map(lambda x: np.broadcast_to(x, (devices, *np.shape(x))), jax.device_get(tree))
    # An axis of another name would compile the first step twice: for this tree, and for its own output.
    return jax.pmap(lambda x: x, axis_name=AXIS)(stacked) if jax.tree.leaves(stacked) else stacked


def unreplicate(tree: Any) -> Any:
    """Return the copy of the first local device."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)


def shard(batch: Batch) -> Batch:
    """Split the leading axis over the local devices: (B, ...) -> (devices, B / devices, ...)."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)
