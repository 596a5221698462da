"""A backbone small enough to compute by hand, and implementations that start quickly in their own process."""

import dataclasses
import os
import pathlib
import time
from multiprocessing import util

from vlmad_jax.backbones.config import CLIPConfig, TextConfig, VisionConfig
from vlmad_jax.benchmark import Setting
from vlmad_jax.benchmark import products as matrix_products
from vlmad_jax.benchmark.jax_implementation import JaxImplementation
from vlmad_jax.errors import InputError
from vlmad_jax.methods import MethodOptions

# 4 x 4 patches of 8 x 8 pixels; 2 layers of width 16 with MLPs of 32; embeddings of 8.
SMALL = CLIPConfig(VisionConfig(16, 2, 2, 32, 32, 8), TextConfig(16, 1, 2, 32, 64, 16, 63), 8)


def small(**changes) -> Setting:
    options = {x.name: changes.pop(x.name) for x in dataclasses.fields(MethodOptions) if x.name in changes}
    given = {"method": "winclip", "arch": "small", "config": SMALL, "options": MethodOptions(**options)}
    return Setting(**(given | changes))


def quick_implementation(setting: Setting, dtype: str) -> JaxImplementation:
    """Return an implementation, in the process that runs it, with small square matrix products."""
    matrix_products.SQUARES = dict.fromkeys(matrix_products.SQUARES, (64,))
    return JaxImplementation(setting, dtype)


class Leaving:
    """An object that creates a file when its process ends, unless the process is killed."""

    def __init__(self, path: pathlib.Path) -> None:
        util.Finalize(None, path.touch, exitpriority=0)

    def wait(self) -> None:
        """Return at once: the process has started."""

    def sleep(self) -> None:
        time.sleep(60)


class Failing:
    def refuse(self) -> None:
        raise InputError("the bottle: is not clean; wash it")

    def run_out(self) -> None:
        raise MemoryError("RESOURCE_EXHAUSTED: out of memory")

    def divide(self) -> float:
        return 1 / 0

    def count(self) -> int:
        return os.getpid()

    def die(self) -> None:
        os._exit(7)
