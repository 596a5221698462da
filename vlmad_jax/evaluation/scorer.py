"""Scoring images in batches of one shape, compiled once, on all devices of this process."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.methods import Scores
from vlmad_jax.methods.detector import check_finite

AXIS = "images"
WHOLE, DIVIDED = PartitionSpec(), PartitionSpec(AXIS)


class Model(Protocol):
    """A model that a `Scorer` compiles: a detector, or a function of one."""

    @property
    def backbone(self) -> Backbone:
        """The backbone; its variables are compiled into the program."""

    def score_with(self, variables: dict[str, Any], state: Any, images: Any) -> Scores:
        """Return the scores of a batch, as a pure function of the backbone's variables and of the state."""


class Scorer:
    """A model whose batches are divided over the devices of this process.

    Each device holds a copy of the weights and of the state and runs the same program on its part of the
    images; the devices exchange nothing. Threads take turns, because their batches would only wait for each
    other on the device and fill its memory.

    Attributes:
      model: The model.
      batch_size: The number of images in a batch: the smallest multiple of the number of devices that is not
        below the requested number.
    """

    def __init__(self, model: Model, batch_size: int) -> None:
        """Store the arguments; the first batch compiles the program."""
        self.model = model
        self.mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
        self.batch_size = -(-batch_size // self.mesh.size) * self.mesh.size
        self._turn = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the compiled program."""
        return Scorer, (self.model, self.batch_size)

    def __repr__(self) -> str:
        """Name the model and the batch size."""
        return f"Scorer({self.model!r}, batch_size={self.batch_size})"

    def put(self, images: Any) -> Any:
        """Return a batch of images, or features, on the devices, a part on each."""
        return self._placed(images, DIVIDED)

    def copy(self, tree: Any) -> Any:
        """Return a tree of arrays on the devices, whole on each."""
        return self._placed(tree, WHOLE)

    def score(self, state: Any, images: Any) -> Scores:
        """Return the scores of a batch, on the devices, given a state from `copy` and images from `put`."""
        return self._score(state, images)

    def fetch(self, scores: Scores) -> Scores:
        """Return scores as NumPy arrays; raise InputError if one is NaN or infinite."""
        fetched = jax.device_get(scores)
        check_finite(fetched, self.model.backbone)
        return fetched

    def score_all(self, state: Any, images: np.ndarray) -> Scores:
        """Return the scores of N >= 1 images, as NumPy arrays, in batches of one shape.

        Args:
          state: The state of the model, on the host or from `copy`.
          images: uint8 (N, height, width, 3).

        Raises:
          InputError: A score is NaN or infinite.
        """
        parts = []
        for first in range(0, len(images), self.batch_size):
            batch = images[first : first + self.batch_size]
            missing = self.batch_size - len(batch)
            filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
            with self._turn:
                scores = self.fetch(self.score(state, self.put(filled)))
            parts.append(Scores(*(x[: len(batch)] for x in scores)))
        return Scores(*(np.concatenate(x) for x in zip(*parts, strict=True)))

    def _placed(self, tree: Any, spec: PartitionSpec) -> Any:
        return jax.device_put(tree, NamedSharding(self.mesh, spec) if self.mesh.size > 1 else None)

    @functools.cached_property
    def _score(self) -> Callable[[Any, Any], Scores]:
        score: Callable[..., Scores] = self.model.score_with
        if self.mesh.size > 1:
            score = jax.shard_map(
                score,
                mesh=self.mesh,
                in_specs=(WHOLE, WHOLE, DIVIDED),
                out_specs=DIVIDED,
                check_vma=False,  # no output is the same on all devices, and loops would have to declare this
            )
        return self.model.backbone.compile("vision", score, self.copy)
