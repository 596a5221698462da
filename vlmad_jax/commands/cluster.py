"""The flags of a Ray cluster, their checks, and the engine that they choose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.ray_engine import RayEngine

flags.disclaim_key_flags()  # so that the --help of each entry point shows them


def define() -> None:
    """Define the flags."""
    flags.DEFINE_enum("engine", "local", ["local", "ray"], "Score in this process, or on a Ray cluster.")
    flags.DEFINE_string(
        "ray_address", None, "host:port of the Ray cluster; by default RAY_ADDRESS, or a new cluster."
    )
    flags.DEFINE_integer(
        "actors", None, "Ray actors; by default as many as the cluster has room for.", lower_bound=1
    )
    flags.DEFINE_integer("actor_cores", None, "Cores of each actor without a GPU; 4.", lower_bound=1)


def check(local: Sequence[str]) -> None:
    """Raise InputError for flags that exclude each other.

    Args:
      local: the given flags that need --engine=local.
    """
    values = flags.FLAGS
    if values.engine == "ray":
        if local:
            raise InputError(f"{local[0]} needs --engine=local; leave one of the two out")
        jax.config.update("jax_platforms", "cpu")  # this process scores nothing: the actors need the GPUs
        return
    for name in ("ray_address", "actors", "actor_cores"):
        if values[name].value is not None:
            raise InputError(f"--{name} needs --engine=ray; give both, or leave it out")


def engine_for(name: str, detector: FittedDetector) -> RayEngine | None:
    """Return the engine that scores with the detector saved at `name`, or None for this process."""
    values = flags.FLAGS
    if values.engine == "local":
        return None
    return RayEngine(Path(name), detector, values.ray_address, values.actors, values.actor_cores or 4)
