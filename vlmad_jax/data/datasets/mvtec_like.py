"""MPDD, DTD-Synthetic and MVTec LOCO, which have the layout of MVTec AD.

- MPDD: 1,346 images of painted metal parts of 6 categories, with masks (Jezek et al., ICUMT 2021).
- DTD-Synthetic: 12 textures of the Describable Textures Dataset with drawn defects and masks (Aota et al.,
  WACV 2023).
- MVTec LOCO: 3,644 images of 5 categories with logical anomalies, such as a missing part, and structural
  ones, such as a scratch (Bergmann et al., IJCV 2022). A folder of several masks belongs to an anomalous
  image, and their union counts. The metrics of both kinds of anomalies are also reported apart. Its
  validation images are not read.
"""

import functools

from vlmad_jax.data.layout import find_skipped, scan_layout
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source

MPDD = Source(
    name="mpdd",
    homepage="https://github.com/stepanje/MPDD",
    citation=(
        "S. Jezek, M. Jonak, R. Burget, P. Dvorak, M. Skotak: Deep learning-based defect detection of metal "
        "parts: evaluating current methods in complex conditions. ICUMT 2021."
    ),
    locate=functools.partial(locate, "mpdd"),
    scan=scan_layout,
    object_names=OBJECT_NAMES["mpdd"],
    skipped=find_skipped,
)

DTD_SYNTHETIC = Source(
    name="dtd_synthetic",
    homepage="https://drive.google.com/drive/folders/10OyPzvI3H6llCZBxKxFlKWt1Pw1tkMK1",
    citation=(
        "T. Aota, L. T. T. Tong, T. Okatani: Zero-shot versus Many-shot: Unsupervised Texture Anomaly "
        "Detection. WACV 2023."
    ),
    locate=functools.partial(locate, "dtd_synthetic"),
    scan=scan_layout,
    object_names=OBJECT_NAMES["dtd_synthetic"],
    skipped=find_skipped,
)

MVTEC_LOCO = Source(
    name="mvtec_loco",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    citation=(
        "P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger, C. Steger: Beyond Dents and Scratches: Logical "
        "Constraints in Unsupervised Anomaly Detection and Localization. IJCV 130, 2022."
    ),
    locate=functools.partial(locate, "mvtec_loco"),
    scan=scan_layout,
    apart=("logical_anomalies", "structural_anomalies"),
)
