"""This project's implementation of a job with random weights, measured in the current process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from vlmad_jax.backbones.plan import current_plan, using
from vlmad_jax.benchmark import products as matrix_products
from vlmad_jax.benchmark.jobs import make_job
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.runtime import machine

# A measurement repeats short calls for this many seconds, since the clock cannot time a single one.
RUN_SECONDS = 0.3


class Startup(NamedTuple):
    """The results of starting an implementation.

    Attributes:
      first_call: The seconds of the first call, which compiles.
      peak_memory: The peak of memory in bytes.
      executed_flop: The matrix-product operations of one image.
      machine: A description of the machine and the software.
    """

    first_call: float
    peak_memory: int
    executed_flop: float
    machine: dict[str, Any]


class Round(NamedTuple):
    """The results of one round.

    Attributes:
      call: The seconds of one call of the job.
      matmul: The operations a second of each matrix product, by its shape (n, k, m).
    """

    call: float
    matmul: dict[tuple[int, int, int], float]


class JaxImplementation:
    """A job, and matrix products of the same dtype as a baseline.

    Call `start` once, and then `round` any number of times.

    Attributes:
      setting: The setting.
      dtype: The dtype of products with weights.
      choices: Values of `Plan` in place of those for this device.
    """

    def __init__(self, setting: Setting, dtype: str, choices: Mapping[str, Any] | None = None) -> None:
        self.setting, self.dtype, self.choices = setting, dtype, dict(choices or {})

    def start(self) -> Startup:
        """Build the job and call it twice. The first call compiles.

        The peak of memory includes weights, compilation and work. It is read before the products exist.
        """
        with using(dataclasses.replace(current_plan(), **self.choices)):
            job = make_job(self.setting, self.dtype)
            self.job = TimedFunction(job.call)
            executed = job.flop() / self.setting.batch_size
        first_call = self.job.first_call
        peak_memory = machine.peak_memory()
        self.products = {
            shape: TimedFunction(product)
            for shape, product in matrix_products.products(self.setting.config, self.dtype).items()
        }
        return Startup(first_call, peak_memory, executed, machine.describe())

    def scores(self) -> Any:
        """Return the job's results as NumPy arrays."""
        return jax.device_get(self.job.function())

    def round(self) -> Round:
        """Time the job and every product once."""
        rates = {(n, k, m): 2 * n * k * m / product.seconds() for (n, k, m), product in self.products.items()}
        return Round(self.job.seconds(), rates)


class TimedFunction:
    """A function to time over repeated calls, which is called twice at first.

    Attributes:
      function: The function.
      wait: Waits until the result of a call is computed.
      calls: The number of calls in one measurement.
      first_call: The seconds of the first call.
    """

    def __init__(
        self, function: Callable[[], Any], wait: Callable[[Any], Any] = jax.block_until_ready
    ) -> None:
        self.function, self.wait, self.calls = function, wait, 1
        self.first_call = self.seconds()
        self.calls = max(1, round(RUN_SECONDS / self.seconds()))

    def seconds(self) -> float:
        """Return the mean seconds of a call in one measurement.

        The next call is dispatched before the previous one has finished, as an evaluation does with batches.
        """
        started, previous = time.perf_counter(), None
        for _ in range(self.calls):
            current = self.function()
            self.wait(previous)
            previous = current
        self.wait(previous)
        return (time.perf_counter() - started) / self.calls
