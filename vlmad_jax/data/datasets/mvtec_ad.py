"""MVTec AD: 5,354 images of 15 categories, with masks (Bergmann et al., CVPR 2019)."""

from pathlib import Path

from vlmad_jax.data.archives import unpacked_root
from vlmad_jax.data.layout import find_skipped, is_category, scan_layout
from vlmad_jax.data.signs import SIGNS, recognised, wrong_folder
from vlmad_jax.data.source import Source, require_data_dir


def _holds_categories(folder: Path) -> bool:
    return any(is_category(path) for path in folder.iterdir() if path.is_dir())


def _locate(data_dir: Path | None) -> Path:
    """Return the folder of the categories, which may have other names than those of MVTec AD."""
    sign = SIGNS["mvtec_ad"]
    folder = require_data_dir("mvtec_ad", data_dir, f"the extracted MVTec AD folder or {sign.archives[0]}")
    root = unpacked_root(folder, sign.archives, _holds_categories)
    if root is None or (not sign.fits(root) and recognised(root)):
        raise wrong_folder("mvtec_ad", folder)
    return root


MVTEC_AD = Source(
    name="mvtec_ad",
    homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    citation=(
        "P. Bergmann, M. Fauser, D. Sattlegger, C. Steger: MVTec AD - A Comprehensive Real-World Dataset "
        "for Unsupervised Anomaly Detection. CVPR 2019."
    ),
    locate=_locate,
    scan=scan_layout,
    skipped=find_skipped,
)
