"""Gaussians fitted to normal features, and Mahalanobis distances from them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.precision import einsum


def gaussian(rows: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Gaussian to rows (N, D), of which there may be one or more.

    The covariance is shrunk towards a multiple of the identity, and more so the fewer rows there are (Chen et
    al. 2010, "Shrinkage algorithms for MMSE covariance estimation", equation 23: OAS). `epsilon` is added to
    its diagonal.

    Returns:
      The centre (D,), and a matrix (D, D) that whitens the covariance.
    """
    rows = rows.astype(np.float64)
    (count, width), centre = rows.shape, rows.mean(axis=0)
    covariance = (rows - centre).T @ (rows - centre) / count
    square, trace = (covariance**2).sum(), covariance.trace()
    above = (1 - 2 / width) * square + trace**2
    below = (count + 1 - 2 / width) * (square - trace**2 / width)
    shrinkage = 1.0 if below <= above else above / below
    shrunk = (1 - shrinkage) * covariance + (shrinkage * trace / width + epsilon) * np.eye(width)
    whitening = np.linalg.cholesky(np.linalg.inv(shrunk))
    return centre.astype(np.float32), whitening.astype(np.float32)


def mahalanobis(rows: jax.Array, centre: jax.Array, whitening: jax.Array) -> jax.Array:
    """Return the Mahalanobis distances of rows (N, D) from a Gaussian of `gaussian`: (N,), 0 or more."""
    return jnp.linalg.norm(einsum("nd,dw->nw", rows - centre, whitening), axis=-1)
