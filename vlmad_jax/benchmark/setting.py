"""The setting of a measurement: a method, the shape of its backbone, and its work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.config import ARCHITECTURES, CLIPConfig
from vlmad_jax.benchmark.work import (
    anomalyclip_flop,
    aprilgan_flop,
    projection_training_flop,
    prompt_training_flop,
    winclip_flop,
)
from vlmad_jax.errors import InputError
from vlmad_jax.methods import LEARNING, Detector, MethodOptions, WinCLIP, learning_method, method

# The published operations of one image, by method: (config, window_sizes, shots) -> operations.
PUBLISHED_FLOP = {"winclip": winclip_flop, "anomalyclip": anomalyclip_flop, "aprilgan": aprilgan_flop}
# The operations of one image in a training step, without its encoding: (config, batch size) -> operations.
TRAINING_FLOP: dict[str, Callable[[CLIPConfig, int], int]] = {
    "anomalyclip": lambda config, size: prompt_training_flop(config) // size,
    "aprilgan": lambda config, size: projection_training_flop(config),
}
WORKS = ("score", "train", "train_cached")


@dataclass(frozen=True)
class Setting:
    """The setting of one measurement.

    Attributes:
      method: The name of a detector.
      arch: The name of `config` in the results.
      config: The shape of the backbone, whose weights are random.
      batch_size: B, the number of images scored together or in a training step.
      options: The options of the method. winclip's default window sizes are 2 and 3.
      shots: K, the number of random reference images; 0 is zero-shot.
      work: "score"; "train", a training step on images; or "train_cached", one on cached features.

    Raises:
      InputError: The method or work is unknown; the method cannot be trained; a window or stride does not
        fit; the method lacks an option; or `batch_size` or `shots` is too small.
    """

    method: str
    arch: str
    config: CLIPConfig
    batch_size: int = 1
    options: MethodOptions = MethodOptions()
    shots: int = 0
    work: str = "score"

    def __post_init__(self) -> None:
        if self.work not in WORKS:
            raise InputError(f"--work={self.work} is not one of {', '.join(WORKS)}; give one of these")
        method(self.method) if self.work == "score" else learning_method(self.method)
        if self.method not in PUBLISHED_FLOP:
            raise InputError(
                f"--method={self.method}: the published work of this method is not counted; "
                f"give one of {', '.join(PUBLISHED_FLOP)}"
            )
        if self.batch_size < 1:
            raise InputError(f"--batch_size={self.batch_size} is below 1; give 1 or more")
        if self.shots < 0:
            raise InputError(
                f"--shots={self.shots} is below 0; give 0 for zero-shot, or the number of reference images"
            )
        if self.options.window_sizes is None and self.method == "winclip":
            object.__setattr__(self, "options", dataclasses.replace(self.options, window_sizes=(2, 3)))
        if self.options.window_sizes == ():
            raise InputError("--window_sizes is empty; give at least one, for example 2,3")
        self.published_flop  # noqa: B018  raises for a window that does not fit
        self.options.check(self.method, method(self.method).options)
        self.detector(CLIP(self.config, {}, None))  # raises for a stride that does not fit

    @property
    def is_published(self) -> bool:
        """Whether the setting is the published one, without options that change speed and accuracy."""
        options = self.options
        return options.window_stride in (None, 1) and not (options.merge_tokens or options.multi_scale_sizes)

    def detector(self, clip: CLIP) -> Detector:
        """Return the method on that backbone."""
        if self.method in LEARNING:
            return LEARNING[self.method].for_backbone(clip)
        return WinCLIP.from_options(clip, self.options)[0]

    @property
    def published_flop(self) -> int:
        """The published matrix-product operations of an image, including its encoding in training."""
        forward = PUBLISHED_FLOP[self.method](self.config, self.options.window_sizes, self.shots)
        if self.work == "score":
            return forward
        return forward + TRAINING_FLOP[self.method](self.config, self.batch_size)


def architecture(name: str) -> CLIPConfig:
    """Return the published shape of that name.

    Raises:
      InputError: The name is unknown. The message lists the choices.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"--arch={name} is not one of {', '.join(ARCHITECTURES)}; give one of these")
    return ARCHITECTURES[name]
