"""Published systems, one file each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vlmad_jax.clip.hub import BUNDLED_PARAMS, is_bundled
from vlmad_jax.clip.model import CLIP
from vlmad_jax.errors import InputError
from vlmad_jax.methods.anomalyclip import AnomalyCLIP
from vlmad_jax.methods.aprilgan import AprilGAN
from vlmad_jax.methods.detector import Detector, Scores
from vlmad_jax.methods.learned import LearnedDetector
from vlmad_jax.methods.winclip import WinCLIP


@dataclass(frozen=True)
class Options:
    """What a user may choose of a method; None is the method's own choice.

    Attributes:
      window_sizes: of winclip, sides of its windows in patches.
      params: of methods that learn, where what they learned is.
    """

    window_sizes: tuple[int, ...] | None = None
    params: str | None = None

    def only(self, method: str, *names: str) -> None:
        """Raises InputError if an option that `method` does not have was chosen."""
        for name, value in vars(self).items():
            if value is not None and name not in names:
                raise InputError(f"--{name} is no option of {method}; leave it out")


Ready = tuple[Detector, dict[str, Any]]


def make_winclip(clip: CLIP, options: Options) -> Ready:
    """WinCLIP, which learns nothing."""
    options.only("winclip", "window_sizes")
    sizes = options.window_sizes if options.window_sizes is not None else (2, 3)
    try:
        return WinCLIP(clip, window_sizes=sizes), {}
    except InputError as error:
        raise InputError(f"--window_sizes={','.join(map(str, sizes))}: {error}") from error


def make_learned(method: type[LearnedDetector], clip: CLIP, options: Options) -> Ready:
    """A detector with the setting that its parameters were trained with, and these."""
    options.only(method.name, "params")
    path = options.params
    if path is None and is_bundled(clip.name) and method.name in BUNDLED_PARAMS:
        path = str(BUNDLED_PARAMS[method.name])
    if path is None:
        raise InputError(
            f"--params is missing: {method.name} needs {method.needs}; "
            "train some with experiments.train, or give a .pth file of the authors"
        )
    detector = method.trained(clip, path)
    return detector, detector.load_params(path)


LEARNING: dict[str, type[LearnedDetector]] = {"anomalyclip": AnomalyCLIP, "aprilgan": AprilGAN}
METHODS: dict[str, Callable[[CLIP, Options], Ready]] = {
    "winclip": make_winclip,
    **{name: functools.partial(make_learned, learned) for name, learned in LEARNING.items()},
}


def method(name: str) -> Callable[[CLIP, Options], Ready]:
    """What makes the detector of that name, and its parameters; InputError lists the choices."""
    if name not in METHODS:
        raise InputError(f"method {name!r} is not one of {', '.join(METHODS)}; give one of these")
    return METHODS[name]


def learning_method(name: str) -> type[LearnedDetector]:
    """The class of a method that learns; InputError lists the choices."""
    method(name)
    if name not in LEARNING:
        raise InputError(f"method {name!r} learns nothing; {', '.join(LEARNING)} do")
    return LEARNING[name]


__all__ = [
    "LEARNING",
    "METHODS",
    "AnomalyCLIP",
    "AprilGAN",
    "Detector",
    "LearnedDetector",
    "Options",
    "Scores",
    "WinCLIP",
    "learning_method",
    "method",
]
