"""Procedural images of manufactured things, good and defective, each with a mask.

    product = make_product("gear", seed=0)
    good, bad, mask = render_pair(product, "crack", seed=1, size=128)

`TRAIN_FAMILIES` serve pretraining: `TRAIN_TEXTURES`, `TRAIN_OBJECTS`, and `TRAIN_INVENTIONS`, whose products
have nothing but chance in common. `TEST_FAMILIES` are kept for the `synthetic` data set. Everything is a pure
function of its arguments. An image is a stack of parts (signed-distance shapes of some material) over a
backdrop (`scene`), with a defect of a surface drawn on it or a defect of structure built into it (`defects`),
lit and photographed (`camera`).
"""

from vlmad_jax.synthetic.defects import DEFECTS, Defect
from vlmad_jax.synthetic.pairs import render_good, render_pair
from vlmad_jax.synthetic.photographs import SURFACE_DEFECTS, spoil_photograph
from vlmad_jax.synthetic.products import (
    TEST_FAMILIES,
    TRAIN_FAMILIES,
    TRAIN_INVENTIONS,
    TRAIN_OBJECTS,
    TRAIN_TEXTURES,
    Product,
    defects_of,
    make_product,
)

__all__ = [
    "DEFECTS",
    "SURFACE_DEFECTS",
    "TEST_FAMILIES",
    "TRAIN_FAMILIES",
    "TRAIN_INVENTIONS",
    "TRAIN_OBJECTS",
    "TRAIN_TEXTURES",
    "Defect",
    "Product",
    "defects_of",
    "make_product",
    "render_good",
    "render_pair",
    "spoil_photograph",
]
