"""Sequences of images: maps smoothed over time, and a decision that does not flicker."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.judged import Judged
from vlmad_jax.inspection.result import Result


@dataclass(frozen=True)
class Smoothing:
    """How a sequence is judged.

    Attributes:
      weight: of the newest frame, above 0 and at most 1: map(t) = weight x new + (1 - weight) x map(t - 1),
        and the score likewise; 1 is none. The first frame is taken as it is.
      release: once a frame is bad, the next are too until the probability is below this: at most 0.5, which
        is none.

    Raises:
      InputError: either is out of range.
    """

    weight: float = 0.5
    release: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise InputError(f"--smoothing={self.weight}: give more than 0 and at most 1; 1 is none")
        if not 0 <= self.release <= 0.5:
            raise InputError(f"--release={self.release}: give 0 to 0.5; 0.5 is none")

    def apply(self, sequence: Iterable[Judged]) -> Iterator[Judged]:
        """The frames of one sequence, in order; one that could not be read changes nothing."""
        before: Result | None = None
        for judged in sequence:
            if judged.result is None:
                yield judged
                continue
            before = self.follow(before, judged.result)
            yield judged.with_result(before)

    def follow(self, before: Result | None, new: Result) -> Result:
        """The result of a frame, given that of the one before."""
        if before is None:
            return new
        score = self.weight * new.image + (1 - self.weight) * before.image
        maps = self.weight * new.canvas_map + (1 - self.weight) * before.canvas_map
        smooth = Result.judged(score, maps.astype(new.canvas_map.dtype), new.size, new.decision)
        held = before.bad and smooth.probability >= self.release
        return dataclasses.replace(smooth, bad=smooth.bad or held)
