"""The version of this package and what to cite, as BibTeX. This module is quick to import."""

from __future__ import annotations

import functools
import importlib.metadata
import tomllib
from pathlib import Path

DISTRIBUTION = "vlmad-jax"


SOFTWARE = """\
@software{vlmad_jax,
  author  = {{The vlmad\\_jax authors}},
  title   = {vlmad\\_jax: anomaly detection in images of manufactured parts with CLIP, in JAX},
  version = {VERSION},
  license = {Apache-2.0},
}"""

WINCLIP = """\
@inproceedings{jeong2023winclip,
  author    = {Jeong, Jongheon and Zou, Yang and Kim, Taewan and Zhang, Dongqing and Ravichandran, Avinash
               and Dabeer, Onkar},
  title     = {{WinCLIP}: Zero-/Few-Shot Anomaly Classification and Segmentation},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2023},
  eprint    = {2303.14814},
  archivePrefix = {arXiv},
}"""

ANOMALYCLIP = """\
@inproceedings{zhou2024anomalyclip,
  author    = {Zhou, Qihang and Pang, Guansong and Tian, Yu and He, Shibo and Chen, Jiming},
  title     = {{AnomalyCLIP}: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2024},
  eprint    = {2310.18961},
  archivePrefix = {arXiv},
}"""

APRILGAN = """\
@misc{chen2023aprilgan,
  author    = {Chen, Xuhai and Han, Yue and Zhang, Jiangning},
  title     = {{APRIL-GAN}: A Zero-/Few-Shot Anomaly Classification and Segmentation Method for {CVPR} 2023
               {VAND} Workshop Challenge Tracks 1\\&2: 1st Place on Zero-shot {AD} and 4th Place on
               Few-shot {AD}},
  year      = {2023},
  eprint    = {2305.17382},
  archivePrefix = {arXiv},
}"""

COOP = """\
@article{zhou2022coop,
  author    = {Zhou, Kaiyang and Yang, Jingkang and Loy, Chen Change and Liu, Ziwei},
  title     = {Learning to Prompt for Vision-Language Models},
  journal   = {International Journal of Computer Vision (IJCV)},
  year      = {2022},
  eprint    = {2109.01134},
  archivePrefix = {arXiv},
}"""

PATCHCORE = """\
@inproceedings{roth2022patchcore,
  author    = {Roth, Karsten and Pemula, Latha and Zepeda, Joaquin and Sch{\\"o}lkopf, Bernhard and
               Brox, Thomas and Gehler, Peter},
  title     = {Towards Total Recall in Industrial Anomaly Detection},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022},
  eprint    = {2106.08265},
  archivePrefix = {arXiv},
}"""

PADIM = """\
@inproceedings{defard2021padim,
  author    = {Defard, Thomas and Setkov, Aleksandr and Loesch, Angelique and Audigier, Romaric},
  title     = {{PaDiM}: a Patch Distribution Modeling Framework for Anomaly Detection and Localization},
  booktitle = {Pattern Recognition. ICPR International Workshops and Challenges},
  year      = {2021},
  eprint    = {2011.08785},
  archivePrefix = {arXiv},
}"""

SPADE = """\
@misc{cohen2020spade,
  author    = {Cohen, Niv and Hoshen, Yedid},
  title     = {Sub-Image Anomaly Detection with Deep Pyramid Correspondences},
  year      = {2020},
  eprint    = {2005.02357},
  archivePrefix = {arXiv},
}"""

CUTPASTE = """\
@inproceedings{li2021cutpaste,
  author    = {Li, Chun-Liang and Sohn, Kihyuk and Yoon, Jinsung and Pfister, Tomas},
  title     = {{CutPaste}: Self-Supervised Learning for Anomaly Detection and Localization},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2021},
  eprint    = {2104.04015},
  archivePrefix = {arXiv},
}"""

AUTOENCODER = """\
@inproceedings{kingma2014vae,
  author    = {Kingma, Diederik P. and Welling, Max},
  title     = {Auto-Encoding Variational {Bayes}},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2014},
  eprint    = {1312.6114},
  archivePrefix = {arXiv},
}"""

# The papers of each method. The method hybrid combines two.
PAPERS: dict[str, tuple[str, ...]] = {
    "winclip": (WINCLIP,),
    "anomalyclip": (ANOMALYCLIP,),
    "aprilgan": (APRILGAN,),
    "coop": (COOP,),
    "hybrid": (WINCLIP, ANOMALYCLIP),
    "patchcore": (PATCHCORE,),
    "padim": (PADIM,),
    "spade": (SPADE,),
    "cutpaste": (CUTPASTE,),
    "autoencoder": (AUTOENCODER,),
}


@functools.cache
def version() -> str:
    """Return the version: from pyproject.toml in a clone, otherwise from the installed metadata."""
    try:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
        if project["project"]["name"] == DISTRIBUTION:
            return project["project"]["version"]
    except (OSError, ValueError, KeyError):
        pass
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def citation(*methods: str) -> str:
    """Return BibTeX entries for the software and for the papers of the given methods.

    Raises:
      KeyError: a method is not in `PAPERS`.
    """
    names = dict.fromkeys(key for method in methods for key in PAPERS[method])
    return "\n\n".join([SOFTWARE.replace("VERSION", version()), *names])
