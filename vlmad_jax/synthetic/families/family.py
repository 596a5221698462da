"""The definition of a family of products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlmad_jax.synthetic.scene import Part

Rng = np.random.Generator
Design = Callable[[Rng, Rng], tuple[Part, ...]]


@dataclass(frozen=True)
class Family:
    """A family of products of one kind.

    Attributes:
        design: (fixed, varied) -> parts from back to front. The random stream `fixed` determines what all
            images of a product share, and `varied` what differs between images.
        defects: The names of the defects that products of the family can have.
        fills: Whether the product fills the image, as a texture does, or lies on a backdrop.
        turn: The largest rotation between images, radians.
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
LIMB = ("bent part", "broken part")
PLACED = ("missing part", "misplaced part", "wrong colour")
PIECE = (*PLACED, "extra part")
