"""Batches have a fixed order and shape, do not depend on the workers, and leave no process behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import made_image, make_category, save
from vlmad_jax.data import Sample, load_dataset
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.masks import read_masks, resize_mask
from vlmad_jax.data.pipeline import Batch, batches, prefetch, read_error

SIZE = 9


@pytest.fixture
def groups(products: Path) -> list[tuple[Sample, ...]]:
    """Three groups of 5, 0 and 4 samples, the first with an image that does not decode."""
    dataset = load_dataset("folder", products)
    test = dataset.select("bottle", "test")
    broken = Path(test[3].path)
    broken.write_bytes(broken.read_bytes()[:100])
    return [test, (), dataset.select("metal_nut", "test")[:4]]


def equal(one: Batch, other: Batch) -> bool:
    names = ("image", "mask", "index", "readable")
    same = [np.array_equal(getattr(one, name), getattr(other, name)) for name in names]
    return all(same) and one.group == other.group


def test_order_padding_and_content(groups: list[tuple[Sample, ...]]) -> None:
    found = list(batches(groups, SIZE, 3, workers=0, with_masks=True))
    assert [batch.group for batch in found] == [0, 0, 2, 2]
    assert [batch.index.tolist() for batch in found] == [[0, 1, 2], [3, 4, -1], [0, 1, 2], [3, -1, -1]]
    assert [batch.readable.tolist() for batch in found[:2]] == [[True] * 3, [False, True, False]]
    for batch in found:
        assert (batch.image.shape, batch.image.dtype) == ((3, SIZE, SIZE, 3), np.uint8)
        assert (batch.mask.shape, batch.mask.dtype) == ((3, SIZE, SIZE), np.uint8)
        assert (batch.index.dtype, batch.readable.dtype) == (np.int32, np.bool_)
        for row, index in enumerate(batch.index):
            sample = groups[batch.group][index]
            if batch.readable[row]:
                assert np.array_equal(batch.image[row], resize_image(open_image(sample.path), SIZE))
                drawn = 0 if not sample.masks else resize_mask(read_masks(sample.masks), SIZE)
                assert np.array_equal(batch.mask[row], np.broadcast_to(drawn, (SIZE, SIZE)))
            else:
                assert batch.image[row].max() == batch.mask[row].max() == 0
    assert sum(int(batch.mask.sum()) > 0 for batch in found) == 4


def test_masks_are_read_only_on_request(groups: list[tuple[Sample, ...]]) -> None:
    os.unlink(groups[2][0].masks[0])
    without = list(batches(groups, SIZE, 4, workers=0, with_masks=False))
    assert sum(int(batch.mask.sum()) for batch in without) == 0
    assert without[-1].readable.tolist() == [True] * 4
    wanted = list(batches(groups, SIZE, 4, workers=0, with_masks=True))
    assert wanted[-1].readable.tolist() == [False, True, True, True]
    assert read_error(groups[2][0], with_masks=False) is None
    assert "000_mask.png: no such mask" in str(read_error(groups[2][0], with_masks=True))
    assert "does not decode" in str(read_error(groups[0][3], with_masks=False))


def test_nothing_to_read() -> None:
    assert list(batches([], SIZE, 4, workers=0, with_masks=True)) == []
    assert list(batches([(), ()], SIZE, 4, workers=2, with_masks=True)) == []


def test_processes_read_the_same_batches_and_end(groups: list[tuple[Sample, ...]]) -> None:
    here = list(batches(groups * 3, SIZE, 2, workers=0, with_masks=True))
    stream = batches(groups * 3, SIZE, 2, workers=2, with_masks=True)
    elsewhere = [next(stream), next(stream)]  # one batch of each worker, so both have started
    for worker in multiprocessing.active_children():
        worker.terminate()  # schedulers signal all processes, but only the parent reacts
    elsewhere += stream
    assert len(here) == 15
    assert all(map(equal, here, elsewhere))
    assert multiprocessing.active_children() == []


LEFT_OPEN = """
    import multiprocessing, os, signal, sys
    from vlmad_jax.data import Sample
    from vlmad_jax.data.pipeline import batches, prefetch

    if __name__ == "__main__":
        samples = [Sample(sys.argv[1], "bottle", "test", "good")] * 400
        stream = prefetch(batches([samples], 8, 2, workers=2, with_masks=True), lambda batch: batch)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
        next(stream)
        print(*[worker.pid for worker in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_no_process_outlives_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "left_open.py"
    script.write_text(textwrap.dedent(LEFT_OPEN))
    image = save(made_image(0), tmp_path / "a.png")
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(image), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )
        for name in ("SIGKILL", "SIGINT")
    ]
    for process, code in zip(started, (-signal.SIGKILL, -signal.SIGINT), strict=True):
        output, errors = process.communicate(timeout=120)
        workers = [int(pid) for pid in output.split()]
        assert (process.returncode, len(workers) > 0) == (code, True), errors
        deadline = time.monotonic() + 20
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(alive, workers))
        if code == -signal.SIGINT:
            assert errors.rstrip().endswith("KeyboardInterrupt"), errors  # and nothing after it
            assert errors.count("Traceback") == 1, errors


def test_prefetch_runs_ahead_in_order() -> None:
    put: list[int] = []

    def note(item: int) -> int:
        put.append(item)
        return item * item

    stream = prefetch(range(8), note, depth=2)
    assert put == []
    assert next(stream) == 0
    deadline = time.monotonic() + 5
    while len(put) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert put == [0, 1, 2, 3]  # one was returned, two are queued, and one waits for room
    assert list(stream) == [1, 4, 9, 16, 25, 36, 49]
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_prefetch_raises_an_error_in_place_of_its_item() -> None:
    def fail_at_three(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    stream = prefetch(range(8), fail_at_three)
    assert [next(stream), next(stream), next(stream)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(stream)
    assert list(stream) == []


def test_closing_prefetch_closes_its_source() -> None:
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    stream = prefetch(endless(), lambda item: item)
    assert next(stream) == 1
    stream.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_a_category_without_masks_reads_as_zeros(tmp_path: Path) -> None:
    make_category(tmp_path / "gear", masks=False)
    samples = load_dataset("folder", tmp_path).select("gear", "test")
    (batch,) = batches([samples], SIZE, 5, workers=0, with_masks=True)
    assert batch.mask.sum() == 0
    assert batch.readable.all()
