"""Score images on a Ray cluster: actors hold the detector, and Ray Data sends shards of paths to them.

Every machine of the cluster needs this package, and the images, the detector and its weights under the same
paths.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.journal import Row, read_row, rows_of_files
from vlmad_jax.inspection.saved import describe_weights, load_detector
from vlmad_jax.inspection.stream import batched
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.notices import print_stderr

BATCHES_IN_SHARD = 8  # largest number of batches in a shard, which is scored again when its worker is lost
SHARDS_FOR_ACTOR = 4  # least number of shards for each actor, so that all have work until the end
PATIENCE = 5.0  # seconds to wait for the cluster to answer


@dataclass(frozen=True)
class RayEngine:
    """Scores images with a saved detector on a Ray cluster.

    When a worker or a machine is lost, Ray Data starts its actor again, there or elsewhere, and repeats its
    shards without limit: it cannot distinguish a lost machine from an image that crashes its reader.

    Attributes:
      saved: directory of the detector.
      detector: the detector, with the threshold and the batch size to score with.
      address: address of the cluster; None lets Ray join $RAY_ADDRESS or a cluster of this machine, or start
        one here for the duration of the call.
      actors: number of processes that score; None for as many as the cluster has room for.
      cores: number of cores of each actor, if the cluster has no GPUs; else each actor has one GPU.
    """

    saved: Path
    detector: FittedDetector
    address: str | None = None
    actors: int | None = None
    cores: int = 4

    def __call__(self, paths: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of the images in files, shard by shard as they are finished.

        Raises:
          InputError: Ray is not installed, there is no cluster or no room in it, or one of its machines lacks
            the detector or its weights.
        """
        if not paths:
            return
        ray = _imported()
        with _connected(ray, self.address):
            room, needs = _room(ray, self.cores)
            actors = self.actors or room
            size = _shard_size(len(paths), actors, self.detector.batch_size)
            shards = [_as_table(shard) for shard in batched(paths, size)]
            _say_if_busy(ray, needs)
            scored = ray.data.from_arrow(shards).map_batches(
                _ScoreShard,
                fn_constructor_args=[self._recipe(needs.get("num_cpus"))],
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=min(actors, len(shards))),
                **needs,
            )
            try:
                for rows in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
                    if "problem" in rows.column_names:
                        raise InputError(rows["problem"][0].as_py())
                    yield from map(read_row, rows["row"].to_pylist())
            except ray.exceptions.RayError as error:
                raise InputError(
                    f"--engine=ray: a worker failed ({_last_line(error)}); see Ray's logs"
                ) from error

    def _recipe(self, cores: int | None) -> _Recipe:
        return _Recipe(
            saved=str(self.saved.resolve()),
            weights=describe_weights(self.detector.model.backbone)["name"],
            checksum=self.detector.checksum,
            batch_size=self.detector.batch_size,
            threshold=self.detector.threshold,
            folder=os.getcwd(),
            cores=cores,
        )


@dataclass(frozen=True)
class _Recipe:
    """What an actor needs: the detector's files, how to score with it, and the folder of relative paths."""

    saved: str
    weights: str
    checksum: str
    batch_size: int
    threshold: float
    folder: str
    cores: int | None

    def detector(self) -> FittedDetector:
        """Load the detector of the driver; raise InputError if it cannot be loaded."""
        detector = load_detector(self.saved, self.weights, self.batch_size)
        if detector.checksum != self.checksum:
            raise InputError(f"{self.saved}: holds another detector here")
        return detector.with_threshold(self.threshold)


class _ScoreShard:
    """An actor, which loads the detector once and turns shards of paths into rows."""

    def __init__(self, recipe: _Recipe) -> None:
        if recipe.cores:
            os.environ["NPROC"] = str(
                recipe.cores
            )  # before JAX starts its threads, so that each actor keeps to its cores
        self.folder = recipe.folder
        self.detector, self.problem = None, ""
        try:
            self.detector = recipe.detector()
        except InputError as error:  # if raised here, Ray would try again without end
            self.problem = f"{platform.node()}: {error}; all machines of the cluster need the same files"

    def __call__(self, shard: Any) -> Any:
        import pyarrow

        if self.detector is None:
            return pyarrow.table({"problem": [printable(self.problem)]})
        paths = [os.fsdecode(path) for path in shard["path"].to_pylist()]
        given = {os.path.join(self.folder, path): path for path in paths}
        rows = rows_of_files(self.detector, list(given))
        lines = [dataclasses.replace(row, path=given[row.path]).as_json() for row in rows]
        return pyarrow.table({"row": lines})


def _room(ray: Any, cores: int) -> tuple[int, dict[str, int]]:
    """Return the number of actors that the cluster has room for, and the resources of each."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if gpus := sum(int(node.get("GPU", 0)) for node in nodes):
        return gpus, {"num_gpus": 1}
    there = [int(node.get("CPU", 0)) for node in nodes]
    if not any(there):
        raise InputError("--engine=ray: the cluster offers neither GPUs nor cores; add a machine to it")
    cores = min(cores, max(there))
    return sum(count // cores for count in there), {"num_cpus": cores}


def _say_if_busy(ray: Any, needs: dict[str, int]) -> None:
    """Say on stderr if the cluster has no free resources, because Ray waits for them silently."""
    ((resource, wanted),) = needs.items()
    if ray.available_resources().get({"num_gpus": "GPU", "num_cpus": "CPU"}[resource], 0) < wanted:
        print_stderr("the cluster is busy with other work; waiting for room")


def _last_line(error: BaseException) -> str:
    """Return the last line of an error, because Ray's errors are whole tracebacks."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _shard_size(images: int, actors: int, batch_size: int) -> int:
    batches = images // (batch_size * actors * SHARDS_FOR_ACTOR)
    return batch_size * min(max(batches, 1), BATCHES_IN_SHARD)


def _as_table(paths: Sequence[str]) -> Any:
    import pyarrow

    return pyarrow.table({"path": [os.fsencode(path) for path in paths]})  # names need not be UTF-8


def _imported() -> Any:
    """Import Ray with Ray Data, and let it log problems only."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--engine=ray needs Ray; install it with pip install 'vlmad-jax[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _name_command(ray: Any) -> None:
    """Make the command line printable, because Ray records it and fails if it is not UTF-8."""
    utils = ray._private.utils
    with contextlib.suppress(AttributeError):
        named = printable(utils.get_entrypoint_name())
        utils.get_entrypoint_name = lambda: named


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster during a block; a cluster that is started for it stops afterwards."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    problem = f"no cluster answers at {address}" if address else "no cluster could be started here"
    try:
        if address and re.fullmatch(r"(ray://)?[^/]+:\d+", address):
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), PATIENCE).close()  # Ray itself tries for minutes
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # of JAX; Ray executes at once
            _name_command(ray)
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:  # a wrong address, or another version of Ray
        raise InputError(
            f"--engine=ray: {problem} ({_last_line(error)}); "
            "start one with ray start, or give its host:port as --ray_address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
