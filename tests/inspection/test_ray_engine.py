"""Scoring on a Ray cluster of two nodes, a worker killed half-way: every image once, none lost."""

import dataclasses
import json
import os
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.data.conftest import save
from tests.experiments.command import here
from tests.inspection.conftest import part
from vlmad_jax import InputError, load_detector
from vlmad_jax.inspection.journal import Row
from vlmad_jax.inspection.outputs import Counts
from vlmad_jax.inspection.predict import PredictConfig, predict
from vlmad_jax.inspection.ray_engine import RayEngine
from vlmad_jax.runtime.cores import cores

# Ray Data sets what it has deprecated itself.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")]

IMAGES = 60


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two nodes, each with room for one actor."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # of JAX: Ray forks only to execute
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # other tests would leave them little time
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
        two = Cluster(initialize_head=True, head_node_args=node)
        two.add_node(num_cpus=1, object_store_memory=80_000_000)
    yield two.address
    two.shutdown()


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts, good and bad, a name that is no UTF-8, and files that are no images."""
    folder = tmp_path_factory.mktemp("new")
    for seed in range(4):
        save(part(30 + seed, spot=seed % 2 == 1), folder / f"{seed}.png")
    for number in range(4, IMAGES - 1):
        os.link(folder / f"{number % 4}.png", folder / f"{number}.png")
    os.link(folder / "1.png", os.fsencode(folder) + b"/\xff.png")
    (folder / "broken.png").write_bytes(b"broken")
    (folder / "notes.txt").write_text("of the shift")
    return folder


def rows(out: Path) -> list[dict]:
    """The rows by path, without what differs from run to run."""
    found = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    return sorted(({**row, "milliseconds": None} for row in found), key=lambda row: row["path"])


def workers() -> list[psutil.Process]:
    """The processes of actors that score."""
    seen = psutil.process_iter(["name", "cmdline"])  # of one that is ending, None
    return [x for x in seen if "_ScoreShard" in "".join([x.info["name"] or "", *(x.info["cmdline"] or [])])]


def test_a_worker_is_killed_and_every_image_is_scored_once(
    cluster: str, new: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = load_detector(saved, batch_size=2)
    middle = np.median([detector(new / f"{number}.png").image for number in range(4)])
    detector = detector.with_threshold(float(middle))
    monkeypatch.chdir(new.parent)  # paths are as they were given, below the driver's folder
    engine, killed, scored = RayEngine(saved, detector, cluster), [], []

    def killing(paths: list[str]) -> Iterator[Row]:
        for row in engine(paths):
            scored.append(row.path)
            if len(scored) == IMAGES // 3:
                running = workers()
                assert len(running) == 2
                killed.append(running[0].pid)
                os.kill(running[0].pid, signal.SIGKILL)
            yield row

    counts = predict(detector, [new.name], tmp_path / "ray", PredictConfig(), killing)
    assert len(killed) == 1
    assert len(scored) == len(set(scored)) == IMAGES + 1
    local = predict(detector, [new.name], tmp_path / "local", PredictConfig())
    for found in (counts, local):
        assert len(found.bad_images) == 10
        assert dataclasses.replace(found, bad_images=[]) == Counts(good=30, bad=30, failed=2)
    assert rows(tmp_path / "ray") == rows(tmp_path / "local")


def test_the_command_does_what_is_missing(
    cluster: str, new: Path, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = json.dumps(str(new / "0.png"))
    predict(load_detector(saved), [str(new)], tmp_path / "out", PredictConfig())
    local = rows(tmp_path / "out")
    lines = (tmp_path / "out/scores.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out/scores.jsonl").write_text("".join(line for line in lines if lost not in line))
    flags = ["--engine=ray", f"--ray_address={cluster}", "--actors=1", "--actor_cores=1"]
    done = here(capsys, "predict", str(saved), str(new), f"--out={tmp_path / 'out'}", *flags)
    assert done.code == 2, done.stderr
    lines = (tmp_path / "out/scores.jsonl").read_text().splitlines()
    fresh = [json.loads(line)["path"] for line in lines[IMAGES - 1 :]]
    assert sorted(fresh) == [str(new / name) for name in ("0.png", "broken.png", "notes.txt")]
    assert rows(tmp_path / "out") == local
    assert list(RayEngine(saved, load_detector(saved), "nowhere:1")([])) == []  # asks nobody


def test_what_an_actor_lacks_is_told(cluster: str, new: Path, saved: Path) -> None:
    other = dataclasses.replace(load_detector(saved), checksum="of another")
    with pytest.raises(
        InputError, match=r": .*plate\.vlmad: holds another detector here; all machines of the"
    ):
        next(RayEngine(saved, other, cluster)([str(new / "0.png")]))


def test_a_cluster_that_is_not_there_is_refused_at_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(
            InputError, match=rf"--engine=ray: no cluster answers at {address} \(.*\); start one with"
        ):
            next(RayEngine(saved, load_detector(saved))(["a.png"]))
    with pytest.raises(
        InputError, match=r"--engine=ray: no cluster answers at node17 \(.*\); start one with"
    ):
        next(RayEngine(saved, load_detector(saved), "node17")(["a.png"]))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray; install it with pip install 'vlmad-jax\[ray\]'"):
        next(RayEngine(saved, load_detector(saved))(["a.png"]))


@pytest.mark.parametrize(
    ("told", "threads"), [("1", 1), ("0", len(os.sched_getaffinity(0))), ("", len(os.sched_getaffinity(0)))]
)
def test_actors_of_a_machine_share_its_cores(
    told: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPROC", told)
    assert cores(most=1000) == threads
