"""The sizes of a run: the published models, or small ones with which the run is rehearsed on a CPU."""

from __future__ import annotations

from dataclasses import dataclass

from vlmad_jax.backbones.config import ARCHITECTURES, CLIPConfig, TextConfig, VisionConfig
from vlmad_jax.benchmark.setting import Setting

# 8 x 8 patches of 8 x 8 pixels; 4 layers of width 64 with MLPs of 128; embeddings of 32.
TINY = CLIPConfig(VisionConfig(64, 4, 2, 128, 64, 8), TextConfig(64, 2, 2, 128, 64, 77, 63), 32)


@dataclass(frozen=True)
class Sizes:
    """The batches, shapes and seconds of a run.

    Attributes:
      backbones: The backbone of each method.
      batches: The batch sizes of each method in bfloat16, ascending, because memory is a peak.
      float32_batches: The same in float32.
      middle: The batch size of each method for traces and choices.
      training_batch: The batch size of a training step.
      side: The side of the matrix products.
      attention: Shapes (B, H, T, d) of attention.
      chunk_tokens: Numbers of tokens to encode together.
      seconds: The seconds of one measurement.
    """

    backbones: dict[str, CLIPConfig]
    batches: dict[str, tuple[int, ...]]
    float32_batches: dict[str, tuple[int, ...]]
    middle: dict[str, int]
    training_batch: int
    side: int
    attention: tuple[tuple[int, int, int, int], ...]
    chunk_tokens: tuple[int, ...]
    seconds: float

    def setting(self, method: str, batch: int, work: str = "score") -> Setting:
        """Return the setting of a measurement."""
        return Setting(method, method, self.backbones[method], batch, work=work)


FULL = Sizes(
    backbones={
        "winclip": ARCHITECTURES["vit-b-16-plus-240"],
        "anomalyclip": ARCHITECTURES["vit-l-14-336"],
    },
    batches={"winclip": (1, 8, 32, 128), "anomalyclip": (1, 8, 32)},
    float32_batches={"winclip": (32,), "anomalyclip": (8,)},
    middle={"winclip": 32, "anomalyclip": 8},
    training_batch=8,
    side=8192,
    # The image and the windows of WinCLIP at batch 32, and the images of AnomalyCLIP at batch 8.
    attention=((8, 16, 1370, 64), (32, 14, 226, 64), (196 * 32, 14, 5, 64), (169 * 32, 14, 10, 64)),
    chunk_tokens=(8192, 131072),
    seconds=0.4,
)
SMALL = Sizes(
    backbones={"winclip": TINY, "anomalyclip": TINY},
    batches={"winclip": (1, 2), "anomalyclip": (1, 2)},
    float32_batches={"winclip": (2,), "anomalyclip": (2,)},
    middle={"winclip": 2, "anomalyclip": 2},
    training_batch=2,
    side=256,
    attention=((1, 2, 260, 16), (8, 2, 5, 16)),
    chunk_tokens=(64,),
    seconds=0.02,
)
