"""A trace of a run: what host and device do when, thread by thread.

    with traced("trace"):
        evaluate(config, out)

Open the file `*.trace.json.gz` that it writes at https://ui.perfetto.dev, which keeps it in the browser, or
the folder with `xprof`. "read", waiting for images to be decoded, and "to device" stand in a thread of
their own; "score", handing work to the device, and "fetch", waiting for it, in the main thread. What the
device does meanwhile stands below its name, on the CPU in the threads of XLA.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import jax

from vlmad_jax.errors import InputError

Item = TypeVar("Item")


@contextlib.contextmanager
def traced(folder: str | Path) -> Iterator[None]:
    """Traces the block into the folder; raises InputError if that cannot be made."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); give another folder") from error
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every call of Python's would slow the run down and fill the file
    with jax.profiler.trace(folder, profiler_options=options):
        yield


def named(name: str) -> jax.profiler.TraceAnnotation:
    """A block that a trace shows by this name."""
    return jax.profiler.TraceAnnotation(name)


def each_named(name: str, items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items, with a trace showing by this name how long each takes to come; closing closes `items`."""
    try:
        while True:
            with named(name):
                item = next(items, None)
            if item is None:
                return
            yield item
    finally:
        getattr(items, "close", lambda: None)()
