"""The data sets: one file each, or one for those with the same layout."""

from vlmad_jax.data.datasets.brain_scans import BR35H, BRAINMRI, HEADCT
from vlmad_jax.data.datasets.btad import BTAD
from vlmad_jax.data.datasets.dagm import DAGM
from vlmad_jax.data.datasets.elpv import ELPV
from vlmad_jax.data.datasets.folder import FOLDER
from vlmad_jax.data.datasets.kolektor import KSDD, KSDD2
from vlmad_jax.data.datasets.magnetic_tile import MAGNETIC_TILE
from vlmad_jax.data.datasets.meta_json import META_JSON
from vlmad_jax.data.datasets.mvtec_ad import MVTEC_AD
from vlmad_jax.data.datasets.mvtec_ad_2 import MVTEC_AD_2
from vlmad_jax.data.datasets.mvtec_like import DTD_SYNTHETIC, MPDD, MVTEC_LOCO
from vlmad_jax.data.datasets.real_iad import REAL_IAD
from vlmad_jax.data.datasets.segmentation import CVC_CLINICDB, CVC_COLONDB, ENDO, ISIC, KVASIR, TN3K
from vlmad_jax.data.datasets.synthetic import SYNTHETIC, SYNTHETIC_TRAIN
from vlmad_jax.data.datasets.textures import TEXTURES
from vlmad_jax.data.datasets.visa import VISA
from vlmad_jax.data.source import Source

DATASETS: dict[str, Source] = {
    "mvtec_ad": MVTEC_AD,
    "visa": VISA,
    "mpdd": MPDD,
    "mvtec_ad_2": MVTEC_AD_2,
    "mvtec_loco": MVTEC_LOCO,
    "real_iad": REAL_IAD,
    "btad": BTAD,
    "dagm": DAGM,
    "dtd_synthetic": DTD_SYNTHETIC,
    "ksdd": KSDD,
    "ksdd2": KSDD2,
    "magnetic_tile": MAGNETIC_TILE,
    "elpv": ELPV,
    "headct": HEADCT,
    "brainmri": BRAINMRI,
    "br35h": BR35H,
    "isic": ISIC,
    "cvc_colondb": CVC_COLONDB,
    "cvc_clinicdb": CVC_CLINICDB,
    "kvasir": KVASIR,
    "endo": ENDO,
    "tn3k": TN3K,
    "synthetic": SYNTHETIC,
    "synthetic_train": SYNTHETIC_TRAIN,
    "textures": TEXTURES,
    "meta_json": META_JSON,
    "folder": FOLDER,
}
