"""Computing a few items ahead of their consumer in a thread."""

import atexit
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(items: Iterable[Item], put: Callable[[Item], Result], depth: int = 2) -> Iterator[Result]:
    """Yield `put(item)` for each item in order, running up to `depth` of them ahead in a thread.

    With `jax.device_put` as `put`, the next batch is read and copied while the device computes. An exception
    of `items` or `put` is raised in place of its item. Closing this iterator ends the thread and closes
    `items` if possible.
    """
    return close_at_exit(_prefetched(items, put, depth))


class _End(Exception):
    """The end of the items in the queue."""


def _prefetched(items: Iterable[Item], put: Callable[[Item], Result], depth: int) -> Iterator[Result]:
    ready: queue.Queue[tuple[Result | None, BaseException | None]] = queue.Queue(depth)
    closed = threading.Event()

    def offer(result: Result | None, error: BaseException | None) -> bool:
        while not closed.is_set():
            try:
                ready.put((result, error), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fill() -> None:
        try:
            for item in items:
                if not offer(put(item), None):
                    return
            offer(None, _End())
        except BaseException as error:
            offer(None, error)

    thread = threading.Thread(target=fill, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            result, error = ready.get()
            if isinstance(error, _End):
                return
            if error is not None:
                raise error
            yield result  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()
        getattr(items, "close", lambda: None)()


def close_at_exit(iterator: Iterator[Item]) -> Iterator[Item]:
    """Return the same generator, and close it before the interpreter shuts down if it is still open.

    After an interrupt the frames of the traceback keep it open, and closing it later prints errors.
    """
    reference = weakref.ref(iterator)

    def close() -> None:
        if (alive := reference()) is not None:
            alive.close()  # type: ignore[attr-defined]

    atexit.register(close)  # generators are closed in reverse order, so consumers before their sources
    weakref.finalize(iterator, atexit.unregister, close).atexit = False
    return iterator
