"""The published numbers of images of each data set, and a notice about a folder that differs.

The numbers of MVTec AD, MVTec AD 2 (its public test images), MVTec LOCO, VisA, MPDD, BTAD, Real-IAD,
KolektorSDD2 and the magnetic tiles are from the papers of the data sets, and all others from Zhou et al.,
AnomalyCLIP (ICLR 2024), table 7. The papers of some data sets give only totals, which stand under `TOTAL`.
"""

from collections import Counter
from typing import NamedTuple

from vlmad_jax.data.samples import DataSet, Sample

TOTAL = "all categories"


class Count(NamedTuple):
    """The number of training images, and of normal and anomalous test images; None where not published."""

    train: int | None
    normal: int | None
    anomalous: int | None


def _counts(table: dict[str, tuple[int | None, int | None, int | None]]) -> dict[str, Count]:
    return {category: Count(*numbers) for category, numbers in table.items()}


COUNTS: dict[str, dict[str, Count]] = {
    "mvtec_ad": _counts(
        {
            "bottle": (209, 20, 63),
            "cable": (224, 58, 92),
            "capsule": (219, 23, 109),
            "carpet": (280, 28, 89),
            "grid": (264, 21, 57),
            "hazelnut": (391, 40, 70),
            "leather": (245, 32, 92),
            "metal_nut": (220, 22, 93),
            "pill": (267, 26, 141),
            "screw": (320, 41, 119),
            "tile": (230, 33, 84),
            "toothbrush": (60, 12, 30),
            "transistor": (213, 60, 40),
            "wood": (247, 19, 60),
            "zipper": (240, 32, 119),
        }
    ),
    "visa": _counts(
        {
            "candle": (900, 100, 100),
            "capsules": (542, 60, 100),
            "cashew": (450, 50, 100),
            "chewinggum": (453, 50, 100),
            "fryum": (450, 50, 100),
            "macaroni1": (900, 100, 100),
            "macaroni2": (900, 100, 100),
            "pcb1": (904, 100, 100),
            "pcb2": (901, 100, 100),
            "pcb3": (905, 101, 100),
            "pcb4": (904, 101, 100),
            "pipe_fryum": (450, 50, 100),
        }
    ),
    "mpdd": _counts(
        {
            "bracket_black": (289, 32, 47),
            "bracket_brown": (185, 26, 51),
            "bracket_white": (110, 30, 30),
            "connector": (128, 30, 14),
            "metal_plate": (54, 26, 71),
            "tubes": (122, 32, 69),
        }
    ),
    "mvtec_ad_2": _counts(
        {
            "can": (412, 72, 90),
            "fabric": (387, 66, 90),
            "fruit_jelly": (263, 20, 60),
            "rice": (313, 42, 90),
            "sheet_metal": (137, 24, 90),
            "vial": (291, 35, 105),
            "wallplugs": (293, 60, 90),
            "walnuts": (432, 60, 90),
        }
    ),
    "mvtec_loco": _counts(
        {
            "breakfast_box": (351, 102, 173),
            "juice_bottle": (335, 94, 236),
            "pushpins": (372, 138, 172),
            "screw_bag": (360, 122, 219),
            "splicing_connectors": (354, 119, 193),
        }
    ),
    "real_iad": _counts({TOTAL: (36_465, 63_256, 51_329)}),
    "btad": _counts({"01": (400, 21, 49), "02": (399, 30, 200), "03": (1000, 400, 41)}),
    "dagm": _counts(
        {
            "Class1": (575, 504, 71),
            "Class2": (575, 491, 84),
            "Class3": (575, 491, 84),
            "Class4": (575, 507, 68),
            "Class5": (575, 495, 80),
            "Class6": (575, 508, 67),
            "Class7": (1150, 1000, 150),
            "Class8": (1150, 1000, 150),
            "Class9": (1150, 1000, 150),
            "Class10": (1150, 1000, 150),
        }
    ),
    "dtd_synthetic": _counts({TOTAL: (None, 357, 947)}),
    "ksdd": _counts({"commutator": (None, None, 52)}),
    "ksdd2": _counts({"surface": (2331, 894, 110)}),
    "magnetic_tile": _counts({"magnetic_tile": (476, 476, 392)}),
    "headct": _counts({"head": (0, 100, 100)}),
    "brainmri": _counts({"brain": (0, 98, 155)}),
    "br35h": _counts({"brain": (0, 1500, 1500)}),
    "isic": _counts({"skin": (0, 0, 379)}),
    "cvc_colondb": _counts({"colon": (0, 0, 380)}),
    "cvc_clinicdb": _counts({"colon": (0, 0, 612)}),
    "kvasir": _counts({"colon": (0, 0, 1000)}),
    "endo": _counts({"colon": (0, 0, 200)}),
    "tn3k": _counts({"thyroid": (0, 0, 614)}),
}
_NAMES = ("training images", "normal test images", "anomalous test images")


def count_of(samples: tuple[Sample, ...]) -> Count:
    """Return how many training images, and normal and anomalous test images there are."""
    found = Counter(sample.split if sample.split == "train" else str(sample.label) for sample in samples)
    return Count(found["train"], found["0"], found["1"])


def count_notices(dataset: DataSet) -> list[str]:
    """Return one line that says where a data set differs from the published numbers, or nothing."""
    published = COUNTS.get(dataset.name, {})
    differences = []
    for category, expected in published.items():
        if category == TOTAL and dataset.whole:
            found = count_of(dataset.samples)
        elif category in dataset.categories:
            found = count_of(tuple(s for s in dataset.samples if s.category == category))
        else:
            continue
        differences += [
            f"{category} has {have} {name}, not {want}"
            for have, want, name in zip(found, expected, _NAMES, strict=True)
            if want is not None and have != want
        ]
    if dataset.whole and (missing := set(published) - {TOTAL, *dataset.categories}):
        differences.append(f"missing: {', '.join(name for name in published if name in missing)}")
    if not differences:
        return []
    shown = "; ".join(differences[:3]) + (
        f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
    )
    return [f"{dataset.root} differs from the published {dataset.name}: {shown}"]
