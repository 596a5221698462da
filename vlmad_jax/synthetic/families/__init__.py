"""The families of products, with one function for each family."""

from vlmad_jax.synthetic.families.components import COMPONENTS
from vlmad_jax.synthetic.families.electrical import ELECTRICAL
from vlmad_jax.synthetic.families.electronics import ELECTRONICS
from vlmad_jax.synthetic.families.family import Family
from vlmad_jax.synthetic.families.fasteners import FASTENERS
from vlmad_jax.synthetic.families.goods import GOODS
from vlmad_jax.synthetic.families.hardware import HARDWARE
from vlmad_jax.synthetic.families.held_out import HELD_OUT
from vlmad_jax.synthetic.families.household import HOUSEHOLD
from vlmad_jax.synthetic.families.inventions import INVENTIONS
from vlmad_jax.synthetic.families.machined import MACHINED
from vlmad_jax.synthetic.families.packaging import PACKAGING
from vlmad_jax.synthetic.families.surfaces import SURFACES

OBJECTS: dict[str, Family] = {
    **HARDWARE,
    **FASTENERS,
    **MACHINED,
    **ELECTRONICS,
    **ELECTRICAL,
    **COMPONENTS,
    **GOODS,
    **PACKAGING,
    **HOUSEHOLD,
}
SEEN: dict[str, Family] = {**SURFACES, **OBJECTS, **INVENTIONS}

__all__ = ["HELD_OUT", "INVENTIONS", "OBJECTS", "SEEN", "SURFACES", "Family"]
