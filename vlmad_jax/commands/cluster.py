"""What an entry point needs to score on a Ray cluster: flags, what they go together with, the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.ray_engine import RayEngine

flags.disclaim_key_flags()  # they are the entry points', whose --help shows them


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum("engine", "local", ["local", "ray"], "This process, or actors of a Ray cluster.")
    flags.DEFINE_string("ray_address", None, "Of the cluster, host:port; RAY_ADDRESS, or a new one.")
    flags.DEFINE_integer("actors", None, "Of Ray; as many as there is room for.", lower_bound=1)
    flags.DEFINE_integer("actor_cores", None, "Of each actor without a GPU; 4.", lower_bound=1)


def check(local: Sequence[str]) -> None:
    """Raises InputError for flags that do not go together; `local` are those given that need this process."""
    values = flags.FLAGS
    if values.engine == "ray":
        if local:
            raise InputError(f"{local[0]} is of --engine=local; leave one of the two out")
        jax.config.update("jax_platforms", "cpu")  # here nothing is scored: GPUs are left to the actors
        return
    for name in ("ray_address", "actors", "actor_cores"):
        if values[name].value is not None:
            raise InputError(f"--{name} is of --engine=ray; give both, or leave it out")


def engine_for(name: str, detector: FittedDetector) -> RayEngine | None:
    """What scores elsewhere, if anything does, with the detector saved by that name."""
    values = flags.FLAGS
    if values.engine == "local":
        return None
    return RayEngine(Path(name), detector, values.ray_address, values.actors, values.actor_cores or 4)
