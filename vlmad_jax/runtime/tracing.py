"""Traces of a run: a timeline of the work of the host's threads and of the device.

    with record_trace("trace"):
        evaluate(config, out)

Open the file `*.trace.json.gz` at https://ui.perfetto.dev, which does not upload it, or open the folder with
`xprof`. One thread shows "read" (waiting for decoded images) and "to device"; the main thread shows "score"
(submitting work to the device) and "fetch" (waiting for results). The device's own work appears under its
name, or in XLA's threads on the CPU.
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
def record_trace(folder: str | Path) -> Iterator[None]:
    """Record a trace of the block in a folder.

    Raises:
      InputError: The folder cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); give another folder") from error
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # tracing every Python call would slow the run down and fill the file
    with jax.profiler.trace(folder, profiler_options=options):
        yield


def span(name: str) -> jax.profiler.TraceAnnotation:
    """Return a context manager that shows its block in traces under this name."""
    return jax.profiler.TraceAnnotation(name)


def traced_items(name: str, items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield the items, and show the wait for each in traces under this name.

    Closing this generator closes `items`.
    """
    try:
        while True:
            with span(name):
                item = next(items, None)
            if item is None:
                return
            yield item
    finally:
        getattr(items, "close", lambda: None)()
