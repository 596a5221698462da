"""The kinds of defects by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlmad_jax.synthetic import damage, deposits, structure
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.scene import Canvas, Scene

Mark = Callable[[Canvas, Place, np.random.Generator, float], Canvas]
Alteration = Callable[[Scene, np.random.Generator, float], Scene | None]


@dataclass(frozen=True)
class Defect:
    """A kind of defect.

    Attributes:
        name: The name of the kind.
        phrases: The phrases for captions after "with", such as "a scratch" or "scratch marks".
        adjective: The adjective for captions before the object's name, such as "scratched".
        mark: The function that draws a defect of a surface, or None.
        alteration: The function that changes the structure of a scene, or None.
    """

    name: str
    phrases: tuple[str, ...]
    adjective: str
    mark: Mark | None = None
    alteration: Alteration | None = None


_ALL = (
    Defect("scratch", ("a scratch", "scratch marks"), "scratched", damage.scratch),
    Defect("crack", ("a crack", "a fracture"), "cracked", damage.crack),
    Defect("hole", ("a hole", "a puncture"), "punctured", damage.hole),
    Defect("cut", ("a cut", "a tear"), "cut", damage.cut),
    Defect("stain", ("a stain", "a spot of liquid"), "stained", deposits.stain),
    Defect(
        "discoloration", ("a discoloration", "a patch of wrong colour"), "discolored", deposits.discoloration
    ),
    Defect("contamination", ("contamination", "foreign particles"), "contaminated", deposits.contamination),
    Defect("thread", ("a thread on it", "a foreign fibre"), "contaminated", deposits.thread),
    Defect("dent", ("a dent", "a bump"), "dented", damage.dent),
    Defect("chip", ("a chip", "a chipped edge"), "chipped", damage.chip),
    Defect("rough patch", ("a rough patch", "an abrasion"), "abraded", damage.rough_patch),
    Defect("smear", ("a smear", "a print error"), "smeared", deposits.smear),
    Defect("burn mark", ("a burn mark", "a scorch mark"), "burnt", deposits.burn_mark),
    Defect("rust", ("rust", "corrosion"), "rusty", deposits.rust),
    Defect("pinholes", ("pinholes", "pores"), "porous", damage.pinholes),
    Defect("fold", ("a fold", "a crease"), "creased", damage.fold),
    Defect("glue strip", ("a glue strip", "glue residue"), "glue-stained", deposits.glue_strip),
    Defect(
        "missing part", ("a missing part", "something missing"), "incomplete", alteration=structure.missing
    ),
    Defect(
        "misplaced part", ("a misplaced part", "a shifted part"), "misaligned", alteration=structure.misplaced
    ),
    Defect(
        "extra part", ("an extra part", "a surplus part"), "wrongly assembled", alteration=structure.extra
    ),
    Defect(
        "wrong colour",
        ("a part of the wrong colour", "a swapped part"),
        "wrong",
        alteration=structure.wrong_colour,
    ),
    Defect("bent part", ("a bent part", "a deformation"), "bent", alteration=structure.bent),
    Defect("broken part", ("a broken part", "a piece broken off"), "broken", alteration=structure.broken),
)

DEFECTS: dict[str, Defect] = {defect.name: defect for defect in _ALL}
