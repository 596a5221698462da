"""Products, which define what all their images share, and the scene of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.camera import Camera, choose_camera
from vlmad_jax.synthetic.defects import DEFECTS, Defect
from vlmad_jax.synthetic.families import HELD_OUT, INVENTIONS, OBJECTS, SEEN, SURFACES, Family
from vlmad_jax.synthetic.grid import Pose
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Light, Scene

Seed = int | Sequence[int]

FAMILIES: dict[str, Family] = {**SEEN, **HELD_OUT}
TRAIN_FAMILIES: tuple[str, ...] = tuple(SEEN)
TRAIN_TEXTURES: tuple[str, ...] = tuple(SURFACES)
TRAIN_OBJECTS: tuple[str, ...] = tuple(OBJECTS)
TRAIN_INVENTIONS: tuple[str, ...] = tuple(INVENTIONS)
TEST_FAMILIES: tuple[str, ...] = tuple(HELD_OUT)
_BACKDROPS = (colours.dark, colours.pale, colours.stone, colours.paint, colours.earth)


@dataclass(frozen=True)
class Product:
    """One product of a family. Its key determines its design, colours, materials, backdrop and camera."""

    family: str
    key: tuple[int, ...]

    def stream(self, *use: int) -> np.random.Generator:
        """Return the random stream of this product for one use."""
        return np.random.default_rng((*self.key, *use))


def digest(seed: Seed) -> tuple[int, ...]:
    """Return four integers derived from a seed."""
    return tuple(np.random.SeedSequence(seed).generate_state(4).tolist())


def family_of(name: str) -> Family:
    """Return a family by name.

    Raises:
        InputError: The name is unknown. The message lists the choices.
    """
    if name not in FAMILIES:
        raise InputError(f"unknown family {name!r}: choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def defect_of(name: str, family: str) -> Defect:
    """Return a defect by name.

    Raises:
        InputError: The family has no such defect. The message lists the choices.
    """
    choices = family_of(family).defects
    if name not in choices:
        raise InputError(f"unknown defect {name!r} of {family!r}: choose one of {', '.join(choices)}")
    return DEFECTS[name]


def defects_of(family: str) -> tuple[str, ...]:
    """Return the names of the defects that products of a family can have.

    Raises:
        InputError: The family is unknown. The message lists the choices.
    """
    return family_of(family).defects


def make_product(family: str, seed: Seed) -> Product:
    """Return a product of a family.

    Args:
        family: A name in `TRAIN_FAMILIES` or `TEST_FAMILIES`.
        seed: The seed of the product, as for `numpy.random.default_rng`.

    Raises:
        InputError: The family is unknown. The message lists the choices.
    """
    family_of(family)
    letters = int.from_bytes(family.encode()[:16], "little")
    return Product(family, digest((letters, *digest(seed))))


def make_scene(product: Product, seed: Seed) -> tuple[Scene, Camera]:
    """Return the scene and the camera of one normal image."""
    family = family_of(product.family)
    image = digest(seed)
    varied = product.stream(2, *image)
    parts = family.design(product.stream(0), varied)
    parts = tuple(replace(part, material=_seeded(part.material, varied)) for part in parts)
    fixed = product.stream(1)
    main = max(parts, key=lambda part: part.reach).material.colour
    backdrop = _seeded(_backdrop(fixed, main), varied)
    pose = _pose(family, fixed, varied)
    light = Light(
        azimuth=fixed.uniform(0, 2 * math.pi) + varied.uniform(-0.15, 0.15),
        elevation=fixed.uniform(0.6, 1.1),
        ambient=fixed.uniform(0.25, 0.5),
    )
    camera = choose_camera(fixed, varied)
    return Scene(None if family.fills else backdrop, parts, pose, light), camera


def _seeded(material: Material, rng: np.random.Generator) -> Material:
    return replace(material, seed=int(rng.integers(0, 2**31)))


def _pose(family: Family, fixed: np.random.Generator, varied: np.random.Generator) -> Pose:
    size, angle = fixed.uniform(0.88, 1.06), fixed.uniform(-0.1, 0.1)
    if family.fills:
        shift = tuple(varied.uniform(-0.5, 0.5, 2).tolist())
        return Pose(angle + varied.uniform(-1, 1) * family.turn, varied.uniform(0.96, 1.04), shift)
    free = varied.uniform() if family.turn > 1 else varied.uniform(-1, 1)
    if family.turn <= 1:
        angle += float(fixed.choice([0, 0, 0, 1, 2, 3])) * math.pi / 2
    shift = tuple(varied.normal(0, 0.03, 2).tolist())
    return Pose(angle + 2 * free * family.turn, size * varied.uniform(0.97, 1.03), shift)


def _backdrop(rng: np.random.Generator, main: colours.Colour) -> Material:
    """Draw a backdrop whose brightness differs from that of the object."""
    for _ in range(8):
        colour = _BACKDROPS[int(rng.integers(0, 5))](rng)
        if abs(colours.brightness(colour) - colours.brightness(main)) > 0.2:
            break
    second = colours.scaled(colour, rng.uniform(0.8, 0.95))
    texture = str(rng.choice(["plain", "plain", "plain", "weave", "grain", "brushed", "twill"]))
    bump = 0.0 if texture == "plain" else 0.003
    return Material(colour, second, texture, rng.uniform(8, 14), rng.uniform(0, 3), bump, 0.05)
