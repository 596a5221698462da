"""ELPV: 2,624 electroluminescence images of solar cells, mono- and polycrystalline (Deitsch et al., 2019).

The images come with the package `elpv-dataset`. Experts gave each image a probability of a defect. Images
with 2/3 and 1 count as defective and images with 0 as good; images with 1/3 (probably good, but uncertain)
are skipped. There are no masks and no official split. Here the training split is, in each category, the
quarter of the good images with the smallest SHA-256 of the file name; all other images are for testing.
"""

from importlib.util import find_spec
from pathlib import Path

from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.source import Source, require_data_dir
from vlmad_jax.data.splits import training_images
from vlmad_jax.errors import InputError

TABLE = "labels.csv"
TRAIN_SHARE = 0.25


def _locate(data_dir: Path | None) -> Path:
    if data_dir is not None:
        folder = require_data_dir("elpv", data_dir, f"a folder with ELPV's {TABLE} and images/")
    else:
        package = find_spec("elpv_dataset")
        if package is None or package.origin is None:
            raise InputError("dataset elpv needs the package elpv-dataset: pip install -e '.[elpv]'")
        folder = Path(package.origin).parent / "data"
    if not (folder / TABLE).is_file():
        raise InputError(f"{folder / TABLE} is missing; install its package again: pip install -e '.[elpv]'")
    return folder


def _scan(root: Path) -> list[Sample]:
    good: dict[str, list[str]] = {}
    samples = []
    text = (root / TABLE).read_text(encoding="utf-8", errors="surrogateescape")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            name, probability, category = line.split()
            chance = float(probability)
        except ValueError:
            raise InputError(f"{root / TABLE}, line {number}: not a name, a probability and a type") from None
        if not (root / name).is_file():
            raise InputError(f"{root / name} is missing; pip install --force-reinstall elpv-dataset")
        if chance > 0.5:
            samples.append(Sample(str(root / name), category, "test", "defective"))
        elif chance == 0:
            good.setdefault(category, []).append(name)
    for category, names in good.items():
        train = training_images(names, TRAIN_SHARE)
        for name in names:
            split = "train" if name in train else "test"
            samples.append(Sample(str(root / name), category, split, GOOD))
    return sorted(samples, key=lambda s: (s.category, s.split == "test", s.label, s.path))


ELPV = Source(
    name="elpv",
    homepage="https://github.com/zae-bayern/elpv-dataset",
    citation=(
        "S. Deitsch, V. Christlein, S. Berger, C. Buerhop-Lutz, A. Maier, F. Gallwitz, C. Riess: Automatic "
        "classification of defective photovoltaic module cells in electroluminescence images. Solar Energy "
        "185, 2019."
    ),
    locate=_locate,
    scan=_scan,
    object_names=OBJECT_NAMES["elpv"],
)
