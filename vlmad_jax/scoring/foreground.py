"""Foreground masks from the first principal component of an image's own patches (Damm et al. 2024).

The object and its background differ most, so that the component separates them. The masks equal those of the
code of AnomalyDINO with the filter "flat".
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

# The score above which a patch is foreground.
THRESHOLD = 10.0
# If no more than this share of the patches between 20% and 80% of both sides is foreground, the component
# has the opposite sign.
CENTRE_SHARE = 0.35
CENTRE = (0.2, 0.8)

Filter = Callable[[jax.Array, tuple[int, int]], jax.Array]


def first_component(patches: jax.Array) -> jax.Array:
    """Return the scores of the first principal component of each image: (B, P, D) -> (B, P).

    The sign is scikit-learn's, by which the channel with the largest weight counts positively.
    """
    centred = patches - patches.mean(axis=1, keepdims=True)
    _, directions = jnp.linalg.eigh(einsum("bpd,bpe->bde", centred, centred))
    first = directions[..., -1]  # (B, D); eigenvalues ascend
    largest = jnp.take_along_axis(first, jnp.abs(first).argmax(axis=1, keepdims=True), axis=1)
    return einsum("bpd,bd->bp", centred, first * jnp.sign(largest))


def foreground(patches: jax.Array, grid: tuple[int, int], mask_filter: str = "flat") -> jax.Array:
    """Return whether patches are foreground.

    Args:
      patches: (B, P, D).
      grid: Rows and columns of the P patches.
      mask_filter: A name in `FILTERS`, of how masks are dilated and their holes closed.

    Returns:
      bool (B, P).
    """
    scores = first_component(patches).reshape(-1, *grid)
    rows, columns = (slice(*(int(side * share) for share in CENTRE)) for side in grid)
    kept = (scores > THRESHOLD)[:, rows, columns].mean(axis=(1, 2))
    sign = jnp.where(kept > CENTRE_SHARE, 1, -1)[:, None, None]
    return FILTERS[mask_filter]((scores * sign > THRESHOLD).reshape(len(scores), -1), grid)


def check_filter(mask_filter: str) -> None:
    """Raise InputError unless `mask_filter` is a name in `FILTERS`."""
    if mask_filter not in FILTERS:
        raise InputError(f"mask_filter {mask_filter!r} is not one of {', '.join(FILTERS)}; give one of these")


def flat_filter(masks: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """Filter masks in reading order: (B, P) -> (B, P).

    The neighbours of a patch are the ones before and after it, also across the ends of rows, and never those
    above and below. The authors' code does so because it passes a column of patches to OpenCV.
    """
    del grid
    return dilate_and_close(masks, (1, 3))


def grid_filter(masks: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """Filter masks over the grid, where a patch has eight neighbours: (B, P) -> (B, P)."""
    return dilate_and_close(masks.reshape(-1, *grid), (1, 3, 3)).reshape(masks.shape)


FILTERS: dict[str, Filter] = {"flat": flat_filter, "grid": grid_filter}


def dilate_and_close(masks: jax.Array, window: tuple[int, ...]) -> jax.Array:
    """Dilate masks, and close holes by another dilation and an erosion; the outside has no effect."""

    def spread(masks: jax.Array, start: float, operator: Callable[..., jax.Array]) -> jax.Array:
        return jax.lax.reduce_window(masks, start, operator, window, (1,) * masks.ndim, "SAME")

    kept = masks.astype(jnp.float32)
    for _ in range(2):
        kept = spread(kept, -jnp.inf, jax.lax.max)
    return spread(kept, jnp.inf, jax.lax.min) > 0
