"""What is measured: a method, the shape of its backbone, and the size of its work."""

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

# The work of one image as published, for each method: (config, window_sizes, shots) -> operations.
PUBLISHED_FLOP = {"winclip": winclip_flop, "anomalyclip": anomalyclip_flop, "aprilgan": aprilgan_flop}
# What an image of a training step takes beside its encoding: (config, images a step) -> operations.
LEARNING_FLOP: dict[str, Callable[[CLIPConfig, int], int]] = {
    "anomalyclip": lambda config, size: prompt_training_flop(config) // size,
    "aprilgan": lambda config, size: projection_training_flop(config),
}
WORKS = ("score", "train", "train_cached")


@dataclass(frozen=True)
class Setting:
    """One measurement.

    Attributes:
      method: the name of a detector.
      arch: what to call `config` in the results.
      config: the shape of the backbone, whose weights are drawn at random.
      batch_size: B, images scored together, or of a step of training.
      options: of the method; window_sizes are 2 and 3 if they are left to winclip.
      shots: K, the number of random references; 0 is zero-shot.
      work: "score"; "train", a step of training on images; or "train_cached", one on cached features.

    Raises:
      InputError: an unknown method or work, training of a method that learns nothing, a window or stride that
        does not fit, an option that the method does not have, a batch of none or fewer than no references.
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
                f"--method={self.method}: its published work is not counted; "
                f"give one of {', '.join(PUBLISHED_FLOP)}"
            )
        if self.batch_size < 1:
            raise InputError(f"--batch_size={self.batch_size} holds no image; give 1 or more")
        if self.shots < 0:
            raise InputError(f"--shots={self.shots} is below zero; give 0 for zero-shot, or the references")
        if self.options.window_sizes is None and self.method == "winclip":
            object.__setattr__(self, "options", dataclasses.replace(self.options, window_sizes=(2, 3)))
        if self.options.window_sizes == ():
            raise InputError("--window_sizes is empty; give at least one, for example 2,3")
        self.published_flop  # noqa: B018  a window that does not fit is refused now
        self.options.check(self.method, method(self.method).options)
        self.detector(CLIP(self.config, {}, None))  # and so is a stride

    @property
    def is_published(self) -> bool:
        """Whether what is measured is the method as published, with nothing traded for speed or accuracy."""
        options = self.options
        return options.window_stride in (None, 1) and not (options.merge_tokens or options.multi_scale_sizes)

    def detector(self, clip: CLIP) -> Detector:
        """The method on that backbone, as it would be used."""
        if self.method in LEARNING:
            return LEARNING[self.method].for_backbone(clip)
        return WinCLIP.from_options(clip, self.options)[0]

    @property
    def published_flop(self) -> int:
        """Matrix-product operations an image, as published: in training, every step encodes its images."""
        forward = PUBLISHED_FLOP[self.method](self.config, self.options.window_sizes, self.shots)
        if self.work == "score":
            return forward
        return forward + LEARNING_FLOP[self.method](self.config, self.batch_size)


def architecture(name: str) -> CLIPConfig:
    """The published shape of that name; InputError lists the choices."""
    if name not in ARCHITECTURES:
        raise InputError(f"--arch={name} is not one of {', '.join(ARCHITECTURES)}; give one of these")
    return ARCHITECTURES[name]
