"""Notices: one line on stderr about input that is used, but not as it asks to be.

They go through the logger "vlmad_jax", so that a program that uses the library can turn them off or send them
elsewhere: `logging.getLogger("vlmad_jax").setLevel(logging.ERROR)`.
"""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm

from vlmad_jax.runtime.names import shown

LOGGER = logging.getLogger("vlmad_jax")


class BesideProgressBars(logging.Handler):
    """Writes a line on stderr that leaves progress bars whole."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes "warning: " and the message."""
        say(f"{record.levelname.lower()}: {record.getMessage()}")


def say(line: str) -> None:
    """Writes a line on stderr, whatever names are in it, that leaves progress bars whole."""
    tqdm.write(shown(line), file=sys.stderr)


def notice(message: str) -> None:
    """Says one line, which names the culprit and the remedy."""
    if not LOGGER.handlers:
        LOGGER.addHandler(BesideProgressBars())
        LOGGER.propagate = False  # absl's and JAX's handlers would say it again
    LOGGER.warning("%s", message)
