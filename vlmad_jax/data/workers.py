"""Computing the items of a grain data set ahead of their consumer, in threads or worker processes."""

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
    """Return an iterator over the items of a `grain.MapDataset` in order, which are computed ahead.

    Args:
      dataset: The data set.
      workers: The number of processes that compute items; 0 computes in threads of this process. As always
        with multiprocessing, a script that uses processes needs `if __name__ == "__main__":`. Closing the
        iterator ends the processes.
    """
    import grain  # imports JAX

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain's options are absl flags, which plain scripts never parse
    threads = 1 if workers else cores(most=16)
    items = dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
    if workers:
        # The processes share the cores, so that NumPy in them starts no threads of its own.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # Items are sent through pipes: containers have little shared memory, and grain frees it too late.
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
    """Make a worker ignore SIGINT and SIGTERM, and end when its parent ends for any reason.

    Schedulers send SIGTERM to all processes, and a worker that ends while it writes would block its parent.
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
