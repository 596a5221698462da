"""Running a grain data set ahead of who reads it, in threads or in worker processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from multiprocessing import parent_process
from typing import Any

from absl import flags

from vlmad_jax.runtime.cores import cores


def stream(dataset: Any, workers: int) -> Generator[Any, None, None]:
    """The items of a `grain.MapDataset` in order, computed ahead.

    `workers` is the number of processes that compute them; 0 computes in threads of this process. A script
    that asks for processes needs `if __name__ == "__main__":`, as with all multiprocessing. Closing the
    iterator ends them.
    """
    import grain  # imports JAX

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain's options are absl flags, which a plain script never parses
    threads = 1 if workers else cores(most=16)
    items = dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
    if workers:
        # Through pipes: shared memory is small in containers, and grain gives its last pieces back too late.
        piped = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
        items = grain.experimental.WithOptionsIterDataset(items, piped)
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        items = items.mp_prefetch(options, worker_init_fn=_start_worker)
    return _closed(iter(items))


def _closed(iterator: Any) -> Generator[Any, None, None]:
    try:
        yield from iterator
    finally:
        iterator.close()


def _start_worker(index: int, count: int) -> None:
    """Make a worker leave signals to stop to its parent, and end when its parent is gone, however it went.

    Schedulers send SIGTERM to all processes; a worker that ends while it writes leaves its reader waiting.
    """
    del index, count
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    parent = parent_process()

    def follow() -> None:
        parent.join()  # type: ignore[union-attr]
        os._exit(1)

    if parent is not None:
        threading.Thread(target=follow, daemon=True).start()
