"""A job with random weights, measured in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from vlmad_jax.benchmark.jobs import make_job
from vlmad_jax.benchmark.products import products
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.runtime import machine

# A run is as many calls as fill this time, at least one: short calls are lost in the clock otherwise.
RUN_SECONDS = 0.3


class Start(NamedTuple):
    """What the first calls tell: seconds of the first, bytes at the peak, operations an image, machine."""

    first_call: float
    peak_memory: int
    executed_flop: float
    machine: dict[str, Any]


class Round(NamedTuple):
    """One run of everything: seconds of a call of the job, and operations a second of each product."""

    call: float
    matmul: dict[tuple[int, int, int], float]


class Contender:
    """A job, and products of the same dtype to compare with.

    `start` once, then `round` as often as wanted.
    """

    def __init__(self, setting: Setting, dtype: str) -> None:
        self.setting, self.dtype = setting, dtype

    def start(self) -> Start:
        """Builds the job and calls it twice; the first call compiles.

        The peak of memory is that of weights, compilation and work: it is read before the products exist.
        """
        job = make_job(self.setting, self.dtype)
        self.job = Run(job.call)
        first_call = self.job.first_call
        peak_memory = machine.peak_memory()
        self.products = {
            shape: Run(product) for shape, product in products(self.setting.config, self.dtype).items()
        }
        return Start(first_call, peak_memory, job.flop() / self.setting.batch_size, machine.describe())

    def scores(self) -> Any:
        """What the job makes of its images, as NumPy arrays."""
        return jax.device_get(self.job.function())

    def round(self) -> Round:
        """One run of the job and of every product."""
        rates = {(n, k, m): 2 * n * k * m / product.seconds() for (n, k, m), product in self.products.items()}
        return Round(self.job.seconds(), rates)


class Run:
    """Repeated calls of a function; it is called twice to begin with.

    `wait` waits for what a call returned.
    """

    def __init__(
        self, function: Callable[[], Any], wait: Callable[[Any], Any] = jax.block_until_ready
    ) -> None:
        self.function, self.wait, self.calls = function, wait, 1
        self.first_call = self.seconds()
        self.calls = max(1, round(RUN_SECONDS / self.seconds()))

    def seconds(self) -> float:
        """Mean seconds of a call in one run.

        Two calls are under way at a time, as in an evaluation that hands over the next batch while the device
        is at work.
        """
        started, before = time.perf_counter(), None
        for _ in range(self.calls):
            current = self.function()
            self.wait(before)
            before = current
        self.wait(before)
        return (time.perf_counter() - started) / self.calls
