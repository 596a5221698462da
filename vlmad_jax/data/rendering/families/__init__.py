"""The families of products: one function a family, gathered by where they come from."""

from vlmad_jax.data.rendering.families.electronics import ELECTRONICS
from vlmad_jax.data.rendering.families.family import Family
from vlmad_jax.data.rendering.families.goods import GOODS
from vlmad_jax.data.rendering.families.hardware import HARDWARE
from vlmad_jax.data.rendering.families.held_out import HELD_OUT
from vlmad_jax.data.rendering.families.surfaces import SURFACES

SEEN: dict[str, Family] = {**SURFACES, **HARDWARE, **GOODS, **ELECTRONICS}

__all__ = ["HELD_OUT", "SEEN", "SURFACES", "Family"]
