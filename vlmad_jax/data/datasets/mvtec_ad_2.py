"""MVTec AD 2: 8 categories in several lights, with masks of public test images (Heckler-Kram et al., 2025).

The layout is that of MVTec AD with `test_public` in place of `test` and the masks in its `ground_truth`. The
images in `validation` are not read. The labels of `test_private` and `test_private_mixed` are not published:
these images are scored for the server that evaluates them, see `evaluation.submission`.
"""

import functools
import os
from pathlib import Path

from vlmad_jax.data.images import is_image_name
from vlmad_jax.data.layout import Names, category_folders, scan_layout
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source

NAMES = Names(test="test_public", masks="test_public/ground_truth")
PRIVATE = ("test_private", "test_private_mixed")


def _private(root: Path) -> list[Sample]:
    return [
        Sample(str(folder / split / name), folder.name, split, GOOD)
        for folder in category_folders(root, NAMES)
        for split in PRIVATE
        if (folder / split).is_dir()
        for name in sorted(filter(is_image_name, os.listdir(folder / split)))
    ]


MVTEC_AD_2 = Source(
    name="mvtec_ad_2",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    citation=(
        "L. Heckler-Kram, J.-H. Neudeck, U. Scheler, R. König, C. Steger: The MVTec AD 2 Dataset: Advanced "
        "Scenarios for Unsupervised Anomaly Detection. arXiv:2503.21622, 2025."
    ),
    locate=functools.partial(locate, "mvtec_ad_2"),
    scan=functools.partial(scan_layout, names=NAMES),
    object_names=OBJECT_NAMES["mvtec_ad_2"],
    private=_private,
)
