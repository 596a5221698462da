"""Keeping a few items ahead of who consumes them, in a thread."""

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

    With `jax.device_put` for `put`, the next batch is read and copied while the device computes. What
    `items` or `put` raise is raised here, in its place. Closing this iterator ends the thread and closes
    `items`, if that can be closed.
    """
    return closed_at_exit(_prefetched(items, put, depth))


class _End(Exception):
    """Follows the last item through the queue."""


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


def closed_at_exit(iterator: Iterator[Item]) -> Iterator[Item]:
    """The same generator, closed before the interpreter takes itself apart if the caller left it open.

    An interrupt leaves it open in the frames of its traceback, and closing it later than this fails loudly.
    """
    reference = weakref.ref(iterator)

    def close() -> None:
        if (alive := reference()) is not None:
            alive.close()  # type: ignore[attr-defined]

    atexit.register(close)  # the last one made is closed first, and so is what reads from another
    weakref.finalize(iterator, atexit.unregister, close).atexit = False
    return iterator
