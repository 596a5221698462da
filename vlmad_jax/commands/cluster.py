"""The flags of scoring on a Ray cluster, the check of their combinations, and the engine they describe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.ray_engine import RayEngine

flags.disclaim_key_flags()  # so that --help of a command shows them as the command's own


def define() -> None:
    """Define the flags."""
    flags.DEFINE_enum("engine", "local", ["local", "ray"], "Score in this process, or on a Ray cluster.")
    flags.DEFINE_string("ray_address", None, "Ray cluster, host:port; by default RAY_ADDRESS or a new one.")
    flags.DEFINE_integer("actors", None, "Number of Ray actors; by default as many as fit.", lower_bound=1)
    flags.DEFINE_integer("actor_cores", None, "Cores of a Ray actor without a GPU; default 4.", lower_bound=1)


def check(local: Sequence[str]) -> None:
    """Raise InputError for flags that exclude each other; those in `local` need --engine=local."""
    values = flags.FLAGS
    if values.engine == "ray":
        if local:
            raise InputError(f"{local[0]} needs --engine=local; leave out --engine=ray or {local[0]}")
        jax.config.update("jax_platforms", "cpu")  # leaves the GPUs to the actors
        return
    for name in ("ray_address", "actors", "actor_cores"):
        if values[name].value is not None:
            raise InputError(f"--{name} needs --engine=ray; give both, or leave --{name} out")


def engine_for(name: str, detector: FittedDetector) -> RayEngine | None:
    """Return the engine that scores with the detector saved as `name`; None if this process scores."""
    values = flags.FLAGS
    if values.engine == "local":
        return None
    return RayEngine(Path(name), detector, values.ray_address, values.actors, values.actor_cores or 4)
