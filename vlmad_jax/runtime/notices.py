"""Lines on stderr that do not break progress bars, and warnings.

Warnings go through the logger "vlmad_jax", so a program that uses the library can redirect them or turn them
off: `logging.getLogger("vlmad_jax").setLevel(logging.ERROR)`.
"""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm

from vlmad_jax.runtime.names import printable

LOGGER = logging.getLogger("vlmad_jax")


class StderrHandler(logging.Handler):
    """A logging handler that does not break progress bars on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the level and the message, for example "warning: ..."."""
        print_stderr(f"{record.levelname.lower()}: {record.getMessage()}")


def print_stderr(line: str) -> None:
    """Print a line on stderr without breaking progress bars; any file name in it can be printed."""
    tqdm.write(printable(line), file=sys.stderr)


def warn(message: str) -> None:
    """Log a one-line warning that names the culprit and the remedy."""
    if not LOGGER.handlers:
        LOGGER.addHandler(StderrHandler())
        LOGGER.propagate = False  # the handlers of absl and JAX would print it again
    LOGGER.warning("%s", message)
