"""What a family of products is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlmad_jax.synthetic.scene import Part

Rng = np.random.Generator
Design = Callable[[Rng, Rng], tuple[Part, ...]]


@dataclass(frozen=True)
class Family:
    """Products of one kind.

    Attributes:
        design: (fixed, varied) -> parts from back to front. `fixed` draws what all images of a product
            share, `varied` what differs from image to image.
        defects: names of the defects that make sense here.
        fills: whether it fills the image, as a texture does, or lies on a backdrop.
        turn: the largest turn from image to image, radians.
    """

    design: Design
    defects: tuple[str, ...]
    fills: bool = False
    turn: float = 0.12


CLOTH = (
    "hole",
    "cut",
    "stain",
    "discoloration",
    "contamination",
    "thread",
    "fold",
    "burn mark",
    "glue strip",
)
METAL = ("scratch", "dent", "stain", "rust", "rough patch", "contamination", "discoloration")
STONE = ("crack", "scratch", "stain", "hole", "discoloration", "contamination", "rough patch")
PLASTIC = ("scratch", "stain", "dent", "burn mark", "contamination", "discoloration", "smear")
BROKEN = ("crack", "chip", "broken part")
PIECE = ("missing part", "misplaced part", "wrong colour", "extra part")
