"""Procedurally rendered images of manufactured things, normal and anomalous, with masks.

    product = make_product("gear", seed=0)
    normal, anomalous, mask = render_pair(product, "crack", seed=1, size=128)

`TRAIN_FAMILIES` are for pretraining: `TRAIN_TEXTURES`, `TRAIN_OBJECTS`, and `TRAIN_INVENTIONS`, whose
products are random objects. `TEST_FAMILIES` are reserved for the `synthetic` data set. Every function is
pure. An image shows a stack of parts, which are signed-distance shapes of a material, over a backdrop
(`scene`). Defects are drawn on a surface or change the structure of the parts (`defects`). The scene is then
lit and photographed (`camera`).
"""

from vlmad_jax.synthetic.defects import DEFECTS, Defect
from vlmad_jax.synthetic.pairs import render_anomalous, render_good, render_pair
from vlmad_jax.synthetic.photographs import SURFACE_DEFECTS, draw_surface_defect
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
    "draw_surface_defect",
    "make_product",
    "render_anomalous",
    "render_good",
    "render_pair",
]
