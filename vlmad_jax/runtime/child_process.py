"""An object in a separate process, whose methods are called one at a time.

A separate process keeps its own peak of memory.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import jax

from vlmad_jax.errors import InputError

Call = Callable[[str], Any]

SECONDS_TO_END = 10.0


@contextlib.contextmanager
def in_process(build: Callable[..., Any], *arguments: Any) -> Iterator[Call]:
    """Build an object in a new process and yield `call(name)`, which calls its method `name` there.

    Args:
      build: Builds the object; it can be pickled.
      *arguments: Arguments of `build`; they can be pickled.

    Raises:
      InputError: From `call`, if the method raised one, the device ran out of memory, or the process was
        killed.
      RuntimeError: From `call`, for any other failure, with the traceback of the child process.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, build, *arguments), daemon=True)
    process.start()
    there.close()

    def call(name: str) -> Any:
        try:
            here.send(name)
            failure, reply = here.recv()
        except (EOFError, ConnectionError) as error:
            process.join()
            raise InputError(
                f"the child process was killed (exit code {process.exitcode}), perhaps for lack of memory; "
                "give a smaller --batch_size, or run less at a time"
            ) from error
        if failure:
            raise failure
        return reply

    try:
        yield call
        here.close()  # the process then ends by itself and releases its resources
        process.join(SECONDS_TO_END)
    finally:
        here.close()
        process.kill()
        process.join()
        process.close()


def serve(connection: Connection, build: Callable[..., Any], *arguments: Any) -> None:
    """Run the child process of `in_process`: send (failure or None, result) for each method name received."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles the interrupt and ends this process
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # parent and child share the device
    # Compile times are measured here, so every program must be compiled.
    jax.config.update("jax_enable_compilation_cache", False)
    served = build(*arguments)
    with contextlib.suppress(EOFError):
        while True:
            name = connection.recv()
            reply: tuple[Exception | None, Any]
            try:
                reply = None, getattr(served, name)()
            except Exception as error:
                reply = describe_failure(error), None
            connection.send(reply)


def describe_failure(error: Exception) -> Exception:
    """Return the error that the parent raises for an error of the child."""
    if isinstance(error, InputError):
        return error
    if "RESOURCE_EXHAUSTED" in str(error):
        return InputError("the device ran out of memory; give a smaller --batch_size, or run less at a time")
    return RuntimeError("".join(traceback.format_exception(error)))
