"""Checkpoints of a training run: orbax, asynchronous, the last few kept."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vlmad_jax.runtime.files import utf8_path
from vlmad_jax.training.step import TrainState

KEPT = 3


class Checkpoints:
    """The checkpoints of one run's directory; a step is saved whole or not at all."""

    def __init__(self, directory: pathlib.Path) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=True)
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(utf8_path(directory))
            self._manager = ocp.CheckpointManager(plain, options=options)
            self._link = stack.pop_all()

    def latest(self) -> int | None:
        """The last step saved, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState) -> None:
        """Saves in the background; `state` may be donated as soon as this returns.

        Of several processes all call this with the same state, and the first writes it.
        """
        self._manager.save(step, args=ocp.args.StandardSave(on_host(state)))

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The state saved at `step`, with the structure of `like`."""
        abstract = on_host(like)
        restored: dict[str, Any] = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        return TrainState(**restored)

    def close(self) -> None:
        """Waits until all is written."""
        self._manager.wait_until_finished()
        self._manager.close()
        self._link.close()


def on_host(state: TrainState) -> dict[str, Any]:
    """The state as numpy arrays of their own, which orbax takes for the same on every process."""
    return jax.tree.map(np.array, state._asdict())
