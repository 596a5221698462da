"""One detector with random weights, measured in this process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.benchmark import machine
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.benchmark.work import matmul_flop
from vlmad_jax.clip.model import random_clip

# A run is as many calls as fill this time, at least one: short calls are lost in the clock otherwise.
RUN_SECONDS = 0.3


class Start(NamedTuple):
    """What the first calls tell: seconds of the first, bytes at the peak, operations a picture, machine."""

    first_call: float
    peak_memory: int
    executed_flop: float
    machine: dict[str, Any]


class Round(NamedTuple):
    """One run of everything: seconds of a call of `score`, and operations a second of each product."""

    score: float
    matmul: dict[tuple[int, int, int], float]


class Contender:
    """A jitted detector, and products of the same dtype to compare with.

    `start` once, then `round` as often as wanted.
    """

    def __init__(self, setting: Setting, dtype: str) -> None:
        self.setting, self.dtype = setting, dtype

    def start(self) -> Start:
        """Builds the detector and calls it twice; the first call compiles.

        The peak of memory is that of weights, compilation and scoring: it is read before the products exist.
        """
        setting = self.setting
        detector = setting.detector(random_clip(setting.config, dtype=self.dtype))
        state = random_state(detector, setting.shots)
        shape = (setting.batch_size, detector.size, detector.size, 3)
        images = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

        self.score = Run(lambda: detector.score(state, images))
        first_call = self.score.first_call
        peak_memory = machine.peak_memory()
        self.products = {
            shape: Run(product) for shape, product in machine.products(setting.config, self.dtype).items()
        }
        executed = matmul_flop(detector.score, state, images) / setting.batch_size
        return Start(first_call, peak_memory, executed, machine.describe())

    def round(self) -> Round:
        """One run of `score` and of every product."""
        rates = {(n, k, m): 2 * n * k * m / product.seconds() for (n, k, m), product in self.products.items()}
        return Round(self.score.seconds(), rates)


class Run:
    """Repeated calls of a function that returns arrays; it is called twice to begin with."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function, self.calls = function, 1
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
            jax.block_until_ready(before)
            before = current
        jax.block_until_ready(before)
        return (time.perf_counter() - started) / self.calls


class EmptySentences:
    """A tokenizer that reads nothing: every sentence is one token."""

    def __call__(self, sentences: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[0]] * len(sentences)}


def random_state(detector: Any, shots: int) -> Any:
    """A state with the shapes that the detector's `prepare` gives, and random numbers in it.

    `prepare` is traced and not run, so the text transformer costs nothing.

    Args:
      detector: with a backbone that may lack a tokenizer.
      shots: K, the number of references; 0 is zero-shot.
    """
    readable = dataclasses.replace(
        detector, clip=dataclasses.replace(detector.clip, tokenizer=EmptySentences())
    )
    size = detector.size
    references = [jax.ShapeDtypeStruct((shots, size, size, 3), jnp.uint8)] if shots else []
    shapes = jax.eval_shape(
        lambda *references: readable.prepare("object", *references, params=readable.init(jax.random.key(0))),
        *references,
    )
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    numbers = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, numbers)
