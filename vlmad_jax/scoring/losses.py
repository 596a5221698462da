"""The losses of learned prompts and projections, as AnomalyCLIP's and APRIL-GAN's code computes them.

Maps are probabilities of two classes, normal and anomalous, that add up to 1, so one map says both.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

SMOOTH = 1e-5


def focal_loss(anomalous: jax.Array, mask: jax.Array) -> jax.Array:
    """Focal loss with gamma 2 of probability maps against masks, the mean over pixels (Lin et al. 2017).

    Args:
      anomalous: (B, S, S), 0 to 1, the probability that a pixel is anomalous.
      mask: (B, S, S), 1 where it is.

    Returns:
      -(1 - p)^2 log p, p being the probability of the right class; targets are clamped to [1e-5, 1 - 1e-5].
    """
    target = jnp.clip(mask.astype(jnp.float32), SMOOTH, 1 - SMOOTH)
    right = target * anomalous + (1 - target) * (1 - anomalous) + SMOOTH
    return (-((1 - right) ** 2) * jnp.log(right)).mean()


def dice_loss(probability: jax.Array, mask: jax.Array) -> jax.Array:
    """1 - (2 |p m| + 1) / (|p| + |m| + 1), the mean over images (Milletari et al. 2016, smoothed).

    Args:
      probability: (B, S, S), 0 to 1.
      mask: (B, S, S), 0 or 1.
    """
    mask = mask.astype(jnp.float32)
    both = (probability * mask).sum(axis=(1, 2))
    return (1 - (2 * both + 1) / (probability.sum(axis=(1, 2)) + mask.sum(axis=(1, 2)) + 1)).mean()


def cross_entropy(logits: jax.Array, label: jax.Array) -> jax.Array:
    """Cross-entropy of logits (B, 2), normal and anomalous, against labels (B,), the mean over images."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1).mean()
