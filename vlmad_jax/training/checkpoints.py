"""Checkpoints of a training run, written by orbax in the background."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vlmad_jax.runtime.files import utf8_path
from vlmad_jax.training.step import TrainState

MAX_TO_KEEP = 3


class Checkpoints:
    """The checkpoints in one run's directory. Each save is atomic, and the last `MAX_TO_KEEP` are kept."""

    def __init__(self, directory: pathlib.Path) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=MAX_TO_KEEP, enable_async_checkpointing=True)
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(utf8_path(directory))
            self._manager = ocp.CheckpointManager(plain, options=options)
            self._link = stack.pop_all()

    def latest(self) -> int | None:
        """Return the last saved step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState) -> None:
        """Save in the background. `state` may be donated as soon as this returns.

        All processes call this with the same state, and the first one writes it.
        """
        self._manager.save(step, args=ocp.args.StandardSave(to_host(state)))

    def restore(self, step: int, like: TrainState) -> TrainState:
        """Return the state saved at `step`, with the structure of `like`."""
        abstract = to_host(like)
        restored: dict[str, Any] = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        return TrainState(**restored)

    def close(self) -> None:
        """Wait until all checkpoints are written, then release the directory."""
        self._manager.wait_until_finished()
        self._manager.close()
        self._link.close()


def to_host(state: TrainState) -> dict[str, Any]:
    """Copy the state to numpy arrays, which orbax treats as equal on all processes."""
    return jax.tree.map(np.array, state._asdict())
