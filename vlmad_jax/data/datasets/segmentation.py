"""ISIC 2016, CVC-ColonDB, CVC-ClinicDB, Kvasir-SEG, EndoTect and TN3K: medical images, each with a mask.

Each has a folder of images and a folder of masks with the same stems. All images are anomalous and for
testing, so pixel metrics are defined, and image metrics are not.
"""

import functools
from pathlib import Path

from vlmad_jax.data.images import is_image
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError

# Pairs of a folder of images and a folder of its masks, of which a data set has one.
IMAGES_AND_MASKS = (("images", "masks"), ("Original", "Ground Truth"))
# What the name of a mask has after the stem of its image.
ENDINGS = ("", "_Segmentation", "_segmentation", "_mask")


def _scan(category: str, defect: str, folders: tuple[tuple[str, str], ...], root: Path) -> list[Sample]:
    images, masks = next(
        (root / one, root / other)
        for one, other in folders
        if (root / one).is_dir() and (root / other).is_dir()
    )
    by_stem = {path.stem: path for path in _images(masks)}
    samples = []
    for path in _images(images):
        mask = next((by_stem[name] for end in ENDINGS if (name := path.stem + end) in by_stem), None)
        if mask is None:
            raise InputError(f"{path}: its mask is missing in {masks}; extract the masks again")
        samples.append(Sample(str(path), category, "test", defect, (str(mask),)))
    if not samples:
        raise InputError(f"{images} holds no images; extract the images again")
    return samples


def _images(folder: Path) -> list[Path]:
    """Return the sorted images in a folder, or in the folder of the same name inside it."""
    inner = folder / folder.name
    return sorted(filter(is_image, (inner if inner.is_dir() else folder).iterdir()))


def _source(
    name: str,
    category: str,
    defect: str,
    homepage: str,
    citation: str,
    folders: tuple[tuple[str, str], ...] = IMAGES_AND_MASKS,
) -> Source:
    return Source(
        name=name,
        homepage=homepage,
        citation=citation,
        locate=functools.partial(locate, name),
        scan=functools.partial(_scan, category, defect, folders),
        object_names=OBJECT_NAMES.get(name, {}),
        one_class=True,
    )


ISIC = _source(
    "isic",
    "skin",
    "lesion",
    "https://challenge.isic-archive.com/data/#2016",
    "D. Gutman et al.: Skin Lesion Analysis toward Melanoma Detection: A Challenge at ISBI 2016. "
    "arXiv:1605.01397.",
    (("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth"),),
)
CVC_COLONDB = _source(
    "cvc_colondb",
    "colon",
    "polyp",
    "http://vi.cvc.uab.es/colon-qa/cvccolondb/",
    "N. Tajbakhsh, S. R. Gurudu, J. Liang: Automated Polyp Detection in Colonoscopy Videos Using Shape and "
    "Context Information. IEEE Transactions on Medical Imaging 35, 2015.",
)
CVC_CLINICDB = _source(
    "cvc_clinicdb",
    "colon",
    "polyp",
    "https://polyp.grand-challenge.org/CVCClinicDB/",
    "J. Bernal, F. J. Sanchez, G. Fernandez-Esparrach, D. Gil, C. Rodriguez, F. Vilarino: WM-DOVA maps for "
    "accurate polyp highlighting in colonoscopy. Computerized Medical Imaging and Graphics 43, 2015.",
)
KVASIR = _source(
    "kvasir",
    "colon",
    "polyp",
    "https://datasets.simula.no/kvasir-seg/",
    "D. Jha, P. H. Smedsrud, M. A. Riegler, P. Halvorsen, T. de Lange, D. Johansen, H. D. Johansen: "
    "Kvasir-SEG: A Segmented Polyp Dataset. MMM 2020.",
)
ENDO = _source(
    "endo",
    "colon",
    "polyp",
    "https://endotect.com/",
    "S. A. Hicks, D. Jha, V. Thambawita, P. Halvorsen, H. L. Hammer, M. A. Riegler: The EndoTect 2020 "
    "Challenge: Evaluation and Comparison of Classification, Segmentation and Inference Time for Endoscopy. "
    "ICPR 2020.",
)
TN3K = _source(
    "tn3k",
    "thyroid",
    "nodule",
    "https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation",
    "H. Gong, J. Chen, G. Chen, H. Li, G. Li, F. Chen: Thyroid region prior guided attention for ultrasound "
    "segmentation of thyroid nodules. Computers in Biology and Medicine 155, 2023.",
    (("test-image", "test-mask"),),
)
