"""By what a folder of a published data set is recognised, and which archives it is published as.

The sign of a data set is a file or folder that only it holds. A folder that lacks the sign of the data set
that was asked for is refused, and the data set that it is instead is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vlmad_jax.data.archives import archives_in, find_root, unpacked_root
from vlmad_jax.data.counts import COUNTS
from vlmad_jax.data.source import require_data_dir
from vlmad_jax.errors import InputError


@dataclass(frozen=True)
class Sign:
    """The sign of a data set.

    Attributes:
      title: The name of the data set for people.
      any_of: Groups of paths below its folder, with patterns; of each group at least one path exists.
      archives: The names of the archives that are extracted if they lie in the folder.
      holding: What the folder holds, for messages.
    """

    title: str
    any_of: tuple[tuple[str, ...], ...]
    archives: tuple[str, ...]
    holding: str

    def fits(self, folder: Path) -> bool:
        """Return whether a folder is that of the data set."""
        return all(any(_exists(folder, path) for path in group) for group in self.any_of)


def _exists(folder: Path, path: str) -> bool:
    if "*" in path:
        return next(folder.glob(path), None) is not None
    return (folder / path).exists()


def _sign(title: str, holding: str, *groups: Iterable[str], archives: tuple[str, ...] = ()) -> Sign:
    return Sign(title, tuple(map(tuple, groups)), archives, holding)


def _categories(name: str, title: str, below: str, archives: tuple[str, ...] = ()) -> Sign:
    """Return the sign of a data set with one folder for each category, which holds the folder `below`."""
    names = tuple(COUNTS[name])
    holding = f"the categories of {title} ({names[0]}/, {names[1]}/, ...)"
    return Sign(title, (tuple(f"{category}/{below}" for category in names),), archives, holding)


_TEXTURES = ("Woven_*", "Blotchy_*", "Stratified_*", "Marbled_*", "Perforated_*", "Mesh_*", "Fibrous_*")
_NO, _YES = ("no", "normal"), ("yes", "abnormal")
_IMAGES, _MASKS = ("images", "Original"), ("masks", "Ground Truth")

SIGNS: dict[str, Sign] = {
    "mvtec_ad": _categories("mvtec_ad", "MVTec AD", "train/good", ("mvtec_anomaly_detection.tar.xz",)),
    "visa": _sign(
        "VisA", "VisA's split_csv/1cls.csv", ["split_csv/1cls.csv"], archives=("VisA_20220922.tar",)
    ),
    "mpdd": _categories("mpdd", "MPDD", "train/good", ("MPDD.zip",)),
    "mvtec_ad_2": _categories("mvtec_ad_2", "MVTec AD 2", "test_public", ("mvtec_ad_2.tar.gz",)),
    "mvtec_loco": _categories(
        "mvtec_loco", "MVTec LOCO", "train/good", ("mvtec_loco_anomaly_detection.tar.xz",)
    ),
    "real_iad": _sign(
        "Real-IAD",
        "Real-IAD's realiad_1024/ and realiad_jsons/",
        ["realiad_jsons/*.json", "realiad_jsons/realiad_jsons/*.json"],
    ),
    "btad": _categories("btad", "BTAD", "train/ok", ("btad.zip",)),
    "dagm": _categories("dagm", "DAGM 2007", "Train", ("DAGM_KaggleUpload.zip",)),
    "dtd_synthetic": _sign(
        "DTD-Synthetic",
        "the categories of DTD-Synthetic (Woven_001/, Blotchy_099/, ...)",
        [f"{texture}/train/good" for texture in _TEXTURES],
        archives=("DTD-Synthetic.zip",),
    ),
    "ksdd": _sign(
        "KolektorSDD",
        "the folders of KolektorSDD (kos01/, kos02/, ...)",
        ["kos*/Part*_label.bmp"],
        archives=("KolektorSDD.zip",),
    ),
    "ksdd2": _sign(
        "KolektorSDD2",
        "KolektorSDD2's train/ and test/",
        ["test/*_GT.png", "train/*_GT.png"],
        archives=("KolektorSDD2.zip",),
    ),
    "magnetic_tile": _sign("the magnetic tile set", "the folders MT_Free/, MT_Blowhole/, ...", ["MT_*/Imgs"]),
    "headct": _sign(
        "HeadCT",
        "the folders normal/ and abnormal/",
        [*_NO, "labels.csv"],
        [*_YES, "head_ct"],
        archives=("head_ct.zip",),
    ),
    "brainmri": _sign("BrainMRI", "the folders no/ and yes/", _NO, _YES),
    "br35h": _sign("Br35H", "the folders no/ and yes/", _NO, _YES),
    "isic": _sign(
        "ISIC 2016",
        "ISBI2016_ISIC_Part1_Test_Data/ and ISBI2016_ISIC_Part1_Test_GroundTruth/",
        ["ISBI2016_ISIC_Part1_Test_Data"],
        ["ISBI2016_ISIC_Part1_Test_GroundTruth"],
        archives=("ISBI2016_ISIC_Part1_Test_Data.zip", "ISBI2016_ISIC_Part1_Test_GroundTruth.zip"),
    ),
    "cvc_colondb": _sign("CVC-ColonDB", "the folders images/ and masks/", _IMAGES, _MASKS),
    "cvc_clinicdb": _sign("CVC-ClinicDB", "the folders images/ and masks/", _IMAGES, _MASKS),
    "kvasir": _sign(
        "Kvasir-SEG", "the folders images/ and masks/", _IMAGES, _MASKS, archives=("kvasir-seg.zip",)
    ),
    "endo": _sign("EndoTect", "the folders images/ and masks/", _IMAGES, _MASKS),
    "tn3k": _sign("TN3K", "the folders test-image/ and test-mask/", ["test-image"], ["test-mask"]),
}


def locate(name: str, data_dir: Path | None) -> Path:
    """Return the root folder of a data set of `SIGNS`, after extracting its archives if necessary.

    Raises:
      InputError: `data_dir` is missing or another data set's, or an archive cannot be extracted.
    """
    sign = SIGNS[name]
    archive = f" or {sign.archives[0]}" if sign.archives else ""
    folder = require_data_dir(name, data_dir, f"the extracted {sign.title} folder{archive}")
    root = unpacked_root(folder, sign.archives, sign.fits)
    if root is None:
        raise wrong_folder(name, folder)
    return root


def wrong_folder(name: str, folder: Path) -> InputError:
    """Return the error to raise for a folder that does not hold a data set of `SIGNS`."""
    sign = SIGNS[name]
    archives = " and ".join(sign.archives)
    lacks = f"holds neither {sign.holding} nor {archives}" if archives else f"does not hold {sign.holding}"
    message = f"--data_dir: {folder} {lacks}"
    other = recognised(folder)
    if other is not None and other != name:
        message += f"; this looks like {SIGNS[other].title}: give --dataset={other}"
    elif packed := archives_in(folder):
        message += f"; it holds {packed[0]}: extract {'this archive' if len(packed) == 1 else 'its archives'}"
    return InputError(message)


def recognised(folder: Path) -> str | None:
    """Return the name of the data set that a folder holds, or None if it is not known."""
    if not folder.is_dir():
        return None
    return next((name for name, sign in SIGNS.items() if find_root(folder, sign.fits)), None)
