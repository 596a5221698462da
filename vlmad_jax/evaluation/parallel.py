"""Scoring on all devices of this process: each scores its own images of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vlmad_jax.methods import Detector, Scores

AXIS = "images"
WHOLE, DIVIDED = PartitionSpec(), PartitionSpec(AXIS)


@dataclass(frozen=True, eq=False)
class DataParallel:
    """A detector whose batches are divided over the devices of this process.

    Each device has a copy of the weights and of the state, and runs the detector's own program on its part of
    the images; they exchange nothing. On one device it is the detector itself.
    """

    detector: Detector

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices."""
        return Mesh(np.array(jax.local_devices()), (AXIS,))

    def batch_size(self, wanted: int) -> int:
        """The smallest number of images that divides over the devices and is not below `wanted`."""
        return -(-wanted // self.mesh.size) * self.mesh.size

    def put(self, images: np.ndarray) -> jax.Array:
        """Images (B, ...), their part on each device; B as `batch_size` says."""
        return self._placed(images, DIVIDED)

    def copy(self, tree: Any) -> Any:
        """A tree of arrays, whole on each device."""
        return self._placed(tree, WHOLE)

    def _placed(self, tree: Any, spec: PartitionSpec) -> Any:
        return jax.device_put(tree, NamedSharding(self.mesh, spec) if self.mesh.size > 1 else None)

    def score(self, state: Any, images: jax.Array) -> Scores:
        """`Detector.score` of a state from `copy` and images from `put`."""
        return self._score(state, images)

    @functools.cached_property
    def _score(self) -> Callable[[Any, jax.Array], Scores]:
        if self.mesh.size == 1:
            return self.detector.score
        score = jax.shard_map(
            self.detector.score_with,
            mesh=self.mesh,
            in_specs=(WHOLE, WHOLE, DIVIDED),
            out_specs=DIVIDED,
            check_vma=False,  # nothing is the same on all devices in the end, and loops would have to say so
        )
        return self.detector.clip.compile("vision", score, self.copy)
