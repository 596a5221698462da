"""A small classifier of frozen features, trained in seconds."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import numpy as np

Params = dict[str, Any]

# Rows of a step, as many of every class.
BATCH = 192


class Head(nn.Module):
    """Features (..., D) -> what is thought of them, "hidden" (..., width), and "logits" (..., C)."""

    width: int
    classes: int

    @nn.compact
    def __call__(self, features: jax.Array) -> dict[str, jax.Array]:
        x = nn.relu(nn.Dense(self.width, name="first")(features))
        hidden = nn.Dense(self.width, name="second")(x)
        return {"hidden": hidden, "logits": nn.Dense(self.classes, name="classifier")(nn.relu(hidden))}


def train_head(
    head: Head, features: np.ndarray, labels: np.ndarray, steps: int, learning_rate: float, seed: int
) -> tuple[Params, np.ndarray]:
    """Trains a head by Adam and cross-entropy; the rate falls to zero along a cosine.

    Args:
      head: the classifier.
      features: float32 (N, D), of about standard deviation 1.
      labels: int (N,), 0 to C - 1; classes of which there is no row are never seen.
      steps: of `BATCH` rows, drawn with replacement, as many of every class.
      learning_rate: of the first step.
      seed: of the first parameters and the rows.

    Returns:
      Its parameters, and the loss of every step, (steps,).
    """
    present = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    share = -(-BATCH // len(present))
    rows = np.concatenate([rng.choice(members, (steps, share)) for members in present], axis=1)
    key = jax.random.key(seed)
    params, losses = _fit(head, learning_rate, key, features, labels.astype(np.int32), rows)
    return params, np.asarray(losses)


@functools.partial(jax.jit, static_argnums=0)
def hidden(head: Head, params: Params, features: jax.Array) -> jax.Array:
    """What a head thinks of features (N, D): (N, width)."""
    found: Any = head.apply(params, features)
    return found["hidden"]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fit(
    head: Head, learning_rate: float, key: jax.Array, features: jax.Array, labels: jax.Array, rows: jax.Array
) -> tuple[Params, jax.Array]:
    import optax  # takes a tenth of a second to import

    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, len(rows)))
    params: Any = head.init(key, features[:1])

    def loss(params: Params, chosen: jax.Array) -> jax.Array:
        found: Any = head.apply(params, features[chosen])
        losses = optax.softmax_cross_entropy_with_integer_labels(found["logits"], labels[chosen])
        return losses.mean()

    def step(carry: tuple[Params, Any], chosen: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, chosen)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    (trained, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), rows)
    return trained, losses
