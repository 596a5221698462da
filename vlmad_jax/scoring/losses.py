"""The losses of learned prompts, projections and networks, as their authors' code computes them.

Maps are probabilities of the anomalous class. The probability of the normal class is the complement.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.scoring.maps import filter_rows_and_columns

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


def structural_similarity(one: jax.Array, other: jax.Array) -> jax.Array:
    """Return the structural similarity of every pixel (Wang et al. 2004, equation 13).

    Means, variances and covariance are those of a Gaussian window of 11 x 11 pixels with a standard deviation
    of 1.5. As in DRAEM's code, pixels outside the image are 0.

    Args:
      one: (B, h, w, c), 0 to 1.
      other: (B, h, w, c), 0 to 1.

    Returns:
      (B, h, w, c), -1 to 1; 1 where the images are equal.
    """
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    moments = jnp.concatenate([one, other, one * one, other * other, one * other], axis=-1)
    means = jnp.split(filter_rows_and_columns(moments, window / window.sum()), 5, axis=-1)
    a, b, squares_a, squares_b, products = means
    luminance = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
    variances = squares_a - a**2 + squares_b - b**2
    return luminance * (2 * (products - a * b) + 0.03**2) / (variances + 0.03**2)
