"""Images scored on Ray Data, past one machine: actors hold the detector, shards of paths flow through them.

Every machine of the cluster sees the images, the detector and its weights under the same paths, and has
this package installed.
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
from vlmad_jax.inspection.judged import batched
from vlmad_jax.inspection.rows import Row, read_row, score_paths
from vlmad_jax.inspection.store import describe_weights, load_detector
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.notices import print_stderr

# Batches in a shard, at most: so much is scored again where a worker is lost, and comes at once.
BATCHES_IN_SHARD = 8
# Shards for each actor, at least, so that all have work until the end.
SHARDS_FOR_ACTOR = 4
# Seconds in which a cluster answers.
PATIENCE = 5.0


@dataclass(frozen=True)
class RayEngine:
    """Scores images with a saved detector on a Ray cluster.

    Where a worker or a machine is lost, Ray Data starts its actor again, there or elsewhere, and repeats its
    shards, without end: it cannot tell a machine that comes and goes from an image that ends who opens it.

    Attributes:
      saved: the directory of the detector.
      detector: what it holds, with the threshold and the batch size to score with.
      address: of the cluster; None leaves it to Ray, which joins $RAY_ADDRESS or a cluster of this machine,
        or starts one here for as long as it is needed.
      actors: processes that score; None for as many as there is room for.
      cores: of each, where the cluster has no GPUs; where it has, each has one of these.
    """

    saved: Path
    detector: FittedDetector
    address: str | None = None
    actors: int | None = None
    cores: int = 4

    def __call__(self, paths: Sequence[str]) -> Iterator[Row]:
        """The rows of the images in some files, each once, shard by shard as they come.

        Raises:
          InputError: Ray is not installed, there is no cluster or no room in it, or a machine of it lacks the
            detector or its weights.
        """
        if not paths:
            return
        ray = _imported()
        with _connected(ray, self.address):
            room, needs = _room(ray, self.cores)
            actors = self.actors or room
            size = _shard_size(len(paths), actors, self.detector.batch_size)
            shards = [_as_table(shard) for shard in batched(paths, size)]
            _tell_if_busy(ray, needs)
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
            weights=describe_weights(self.detector.scorer.detector.clip)["name"],
            checksum=self.detector.checksum,
            batch_size=self.detector.batch_size,
            threshold=self.detector.threshold,
            folder=os.getcwd(),
            cores=cores,
        )


@dataclass(frozen=True)
class _Recipe:
    """What an actor needs to know: where the detector lies, how it is used, and below what images lie."""

    saved: str
    weights: str
    checksum: str
    batch_size: int
    threshold: float
    folder: str
    cores: int | None

    def detector(self) -> FittedDetector:
        """The same detector as that of the driver; raises InputError if it is not to be had."""
        detector = load_detector(self.saved, self.weights, self.batch_size)
        if detector.checksum != self.checksum:
            raise InputError(f"{self.saved}: is another detector here")
        return detector.with_threshold(self.threshold)


class _ScoreShard:
    """What an actor is: the detector, loaded once; paths in, rows out."""

    def __init__(self, recipe: _Recipe) -> None:
        if recipe.cores:
            os.environ["NPROC"] = str(recipe.cores)  # before JAX starts its threads, so that actors fit
        self.folder = recipe.folder
        self.detector, self.problem = None, ""
        try:
            self.detector = recipe.detector()
        except InputError as error:  # raised here, it would be tried again and again
            self.problem = f"{platform.node()}: {error}; all machines of the cluster need the same files"

    def __call__(self, shard: Any) -> Any:
        import pyarrow

        if self.detector is None:
            return pyarrow.table({"problem": [printable(self.problem)]})
        paths = [os.fsdecode(path) for path in shard["path"].to_pylist()]
        told = {os.path.join(self.folder, path): path for path in paths}
        rows = (
            dataclasses.replace(row, path=told[row.path]) for row in score_paths(self.detector, list(told))
        )
        return pyarrow.table({"row": [row.as_json() for row in rows]})


def _room(ray: Any, cores: int) -> tuple[int, dict[str, int]]:
    """How many actors the cluster has room for, and what each takes of it."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if gpus := sum(int(node.get("GPU", 0)) for node in nodes):
        return gpus, {"num_gpus": 1}
    there = [int(node.get("CPU", 0)) for node in nodes]
    if not any(there):
        raise InputError("--engine=ray: the cluster lends neither GPUs nor cores; add a machine to it")
    cores = min(cores, max(there))
    return sum(count // cores for count in there), {"num_cpus": cores}


def _tell_if_busy(ray: Any, needs: dict[str, int]) -> None:
    """Says so where every machine is taken by others: Ray waits for them, without a word."""
    ((resource, wanted),) = needs.items()
    if ray.available_resources().get({"num_gpus": "GPU", "num_cpus": "CPU"}[resource], 0) < wanted:
        print_stderr("the cluster is busy with other work; waiting for room")


def _last_line(error: BaseException) -> str:
    """What it says in the end: Ray's errors are whole tracebacks."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _shard_size(images: int, actors: int, batch_size: int) -> int:
    batches = images // (batch_size * actors * SHARDS_FOR_ACTOR)
    return batch_size * min(max(batches, 1), BATCHES_IN_SHARD)


def _as_table(paths: Sequence[str]) -> Any:
    import pyarrow

    return pyarrow.table({"path": [os.fsencode(path) for path in paths]})  # names need not be UTF-8


def _imported() -> Any:
    """Ray with Ray Data, told to speak of what goes wrong alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--engine=ray needs Ray; install it by pip install 'vlmad-jax[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _name_command(ray: Any) -> None:
    """Ray notes the command line of each job, and does not start with one that is not UTF-8."""
    utils = ray._private.utils
    with contextlib.suppress(AttributeError):
        named = printable(utils.get_entrypoint_name())
        utils.get_entrypoint_name = lambda: named


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Within a cluster; one that was joined or started for this is left or stopped afterwards."""
    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    where = f"no cluster answers at {address}" if address else "none could be started here"
    try:
        if address and re.fullmatch(r"(ray://)?[^/]+:\d+", address):
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), PATIENCE).close()  # Ray itself tries for minutes
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # of JAX; Ray executes at once
            _name_command(ray)
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:  # of the address, or of another version of Ray there
        raise InputError(
            f"--engine=ray: {where} ({_last_line(error)}); start one with ray start, or give its host:port"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
