"""BTAD: 2,540 images of three industrial products, 01 to 03, with masks (Mishra et al., ISIE 2021).

The layout is that of MVTec AD, but the normal images are in `ok`, the anomalous ones in `ko`, and a mask may
have another suffix than its image.
"""

import functools

from vlmad_jax.data.layout import Names, scan_layout
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source

BTAD = Source(
    name="btad",
    homepage="http://avires.dimi.uniud.it/papers/btad/btad.zip",
    citation=(
        "P. Mishra, R. Verk, D. Fornasier, C. Piciarelli, G. L. Foresti: VT-ADL: A Vision Transformer "
        "Network for Image Anomaly Detection and Localization. ISIE 2021."
    ),
    locate=functools.partial(locate, "btad"),
    scan=functools.partial(scan_layout, names=Names(normal="ok")),
    object_names=OBJECT_NAMES["btad"],
)
