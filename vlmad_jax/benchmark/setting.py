"""What is measured: a method, the shape of its backbone, and the size of its work."""

from __future__ import annotations

from dataclasses import dataclass

from vlmad_jax.benchmark.work import winclip_flop
from vlmad_jax.clip.config import ARCHITECTURES, CLIPConfig
from vlmad_jax.errors import InputError
from vlmad_jax.methods import method

# The work of one picture as published, for each method: (config, window_sizes, shots) -> operations.
PUBLISHED_FLOP = {"winclip": winclip_flop}


@dataclass(frozen=True)
class Setting:
    """One measurement.

    Attributes:
      method: the name of a detector.
      arch: what to call `config` in the results.
      config: the shape of the backbone, whose weights are drawn at random.
      batch_size: B, pictures scored together.
      window_sizes: sides of the windows in patches.
      shots: K, the number of random references; 0 is zero-shot.

    Raises:
      InputError: an unknown method, a window that does not fit, a batch of none or fewer than no references.
    """

    method: str
    arch: str
    config: CLIPConfig
    batch_size: int = 1
    window_sizes: tuple[int, ...] = (2, 3)
    shots: int = 0

    def __post_init__(self) -> None:
        method(self.method)
        if self.batch_size < 1:
            raise InputError(f"--batch_size={self.batch_size} holds no picture; give 1 or more")
        if self.shots < 0:
            raise InputError(f"--shots={self.shots} is below zero; give 0 for zero-shot, or the references")
        if not self.window_sizes:
            raise InputError("--window_sizes is empty; give at least one, for example 2,3")
        self.published_flop  # noqa: B018  a window that does not fit is refused now

    @property
    def published_flop(self) -> int:
        """Matrix-product operations a picture, as published."""
        return PUBLISHED_FLOP[self.method](self.config, self.window_sizes, self.shots)


def architecture(name: str) -> CLIPConfig:
    """The published shape of that name; InputError lists the choices."""
    if name not in ARCHITECTURES:
        raise InputError(f"--arch={name} is not one of {', '.join(ARCHITECTURES)}; give one of these")
    return ARCHITECTURES[name]
