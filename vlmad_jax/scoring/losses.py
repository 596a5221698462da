"""The losses of learned prompts and projections, as AnomalyCLIP's and APRIL-GAN's code computes them.

Maps are probabilities of the anomalous class. The probability of the normal class is the complement.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

SMOOTH = 1e-5


def focal_loss(anomalous: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the focal loss with gamma 2, averaged over pixels (Lin et al. 2017).

    The loss of a pixel is -(1 - p)^2 log p, where p is the probability of the true class. Targets are clamped
    to [1e-5, 1 - 1e-5].

    Args:
      anomalous: (B, S, S), the probability that a pixel is anomalous, 0 to 1.
      mask: (B, S, S), 1 at anomalous pixels.
    """
    target = jnp.clip(mask.astype(jnp.float32), SMOOTH, 1 - SMOOTH)
    right = target * anomalous + (1 - target) * (1 - anomalous) + SMOOTH
    return (-((1 - right) ** 2) * jnp.log(right)).mean()


def dice_loss(probability: jax.Array, mask: jax.Array) -> jax.Array:
    """Return 1 - (2 |p m| + 1) / (|p| + |m| + 1), averaged over images (Milletari et al. 2016, smoothed).

    Args:
      probability: (B, S, S), 0 to 1.
      mask: (B, S, S), 0 or 1.
    """
    mask = mask.astype(jnp.float32)
    both = (probability * mask).sum(axis=(1, 2))
    return (1 - (2 * both + 1) / (probability.sum(axis=(1, 2)) + mask.sum(axis=(1, 2)) + 1)).mean()


def cross_entropy(logits: jax.Array, label: jax.Array) -> jax.Array:
    """Return the cross-entropy of logits (B, 2) against labels (B,), averaged over images."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1).mean()
