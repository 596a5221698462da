"""Times of asynchronous calls, and the largest rate of matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.precision import dtype_of

SECONDS, REPEATS, MOST_CALLS = 0.4, 3, 100


def seconds_of_call(
    call: Callable[[], Any], wait: Callable[[Any], Any] = jax.block_until_ready, seconds: float = SECONDS
) -> float:
    """Return the seconds of one call, the median of three runs of many calls that are not waited for.

    The first call, which compiles, has to be over.
    """
    wait(call())
    started = time.perf_counter()
    wait(call())
    calls = max(1, min(MOST_CALLS, int(seconds / max(1e-6, time.perf_counter() - started))))
    times = []
    for _ in range(REPEATS):
        started, result = time.perf_counter(), None
        for _ in range(calls):
            result = call()
        wait(result)
        times.append((time.perf_counter() - started) / calls)
    return statistics.median(times)


def first_call(call: Callable[[], Any], wait: Callable[[Any], Any] = jax.block_until_ready) -> float:
    """Return the seconds of the first call."""
    started = time.perf_counter()
    wait(call())
    return time.perf_counter() - started


def jax_matmul_rate(dtype: str, side: int, result: str | None = None) -> float:
    """Return the operations a second of a square product of random numbers.

    Args:
      dtype: The dtype of the inputs. float32 is multiplied in full.
      side: The side of the matrices.
      result: The dtype of the result, by default that of the inputs.
    """
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (side, side)).astype(dtype_of(dtype)) for key in keys)
    precision = jax.lax.Precision.HIGHEST if dtype == "float32" else None
    into = dtype_of(result or dtype)
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision, preferred_element_type=into))
    return 2 * side**3 / seconds_of_call(lambda: product(a, b))


def torch_matmul_rate(dtype: str, side: int) -> float:
    """Return the operations a second of torch's square product of random numbers."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    return 2 * side**3 / seconds_of_call(lambda: a @ b, wait_for_torch)


def wait_for_torch(result: Any) -> None:
    """Wait until torch's device has finished all work."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
