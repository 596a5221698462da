"""An object in a process of its own, so that peaks of memory do not mix, asked for one thing at a time."""

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

Ask = Callable[[str], Any]

SECONDS_TO_END = 10.0


@contextlib.contextmanager
def in_process(build: Callable[..., Any], *arguments: Any) -> Iterator[Ask]:
    """Builds an object in a new process and yields `ask(name)`, which calls that method of it there.

    Args:
      build: makes the object; it and the arguments can be pickled.

    Raises (by `ask`):
      InputError: the object raised one, the device has too little memory, or the process was killed.
      RuntimeError: any other failure, with the traceback of over there.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, build, *arguments), daemon=True)
    process.start()
    there.close()

    def ask(name: str) -> Any:
        try:
            here.send(name)
            failure, reply = here.recv()
        except (EOFError, ConnectionError) as error:
            process.join()
            raise InputError(
                f"the measuring process was killed (exit code {process.exitcode}), perhaps for its memory; "
                "give a smaller --batch_size, or run less at a time"
            ) from error
        if failure:
            raise failure
        return reply

    try:
        yield ask
        here.close()  # it then ends by itself, and gives back what it holds
        process.join(SECONDS_TO_END)
    finally:
        here.close()
        process.kill()
        process.join()
        process.close()


def serve(connection: Connection, build: Callable[..., Any], *arguments: Any) -> None:
    """The other side of `in_process`: (failure or None, reply) for every name that arrives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which ends this process
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # they share the device
    jax.config.update("jax_enable_compilation_cache", False)  # compile times are of compiling
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
    """The error to raise in the parent for one over there."""
    if isinstance(error, InputError):
        return error
    if "RESOURCE_EXHAUSTED" in str(error):
        return InputError(
            "the device has too little memory; give a smaller --batch_size, or run less at a time"
        )
    return RuntimeError("".join(traceback.format_exception(error)))
