"""Small complete versions of the published data sets, laid out as their authors describe them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.conftest import SIZE, made_image, mask, save

# Normal training, normal test and anomalous test images of each category of a stand-in.
Counts = dict[str, tuple[int, int, int]]


def black() -> Image.Image:
    return Image.new("L", SIZE)


def corner() -> Image.Image:
    """A mask with another defect than `mask`: 2 columns and 2 rows."""
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    pixels[7:9, 9:11] = 255
    return Image.fromarray(pixels)


def images(folder: Path, *names: str, seed: int = 0) -> None:
    for number, name in enumerate(names):
        save(made_image(seed + number), folder / name)


def mpdd(root: Path) -> Counts:
    for category in ("connector", "tubes"):
        images(root / category / "train/good", "000.png", "001.png")
        images(root / category / "test/good", "000.png")
        images(root / category / "test/parts_mismatch", "000.png", "001.png", seed=5)
        for name in ("000_mask.png", "001_mask.png"):
            save(mask(), root / category / "ground_truth/parts_mismatch" / name)
    return {"connector": (2, 1, 2), "tubes": (2, 1, 2)}


def mvtec_ad_2(root: Path) -> Counts:
    images(root / "vial/train/good", "000_regular.png", "001_regular.png")
    images(root / "vial/validation/good", "000_regular.png")
    images(root / "vial/test_public/good", "000_regular.png", "000_shift_1.png", seed=3)
    images(root / "vial/test_public/bad", "000_regular.png", seed=6)
    save(mask(), root / "vial/test_public/ground_truth/bad/000_regular_mask.png")
    images(root / "vial/test_private", "000_regular.png", "001_regular.png", seed=8)
    images(root / "vial/test_private_mixed", "000_mixed.png", seed=11)
    return {"vial": (2, 2, 1)}


def mvtec_loco(root: Path) -> Counts:
    pins = root / "pushpins"
    images(pins / "train/good", "000.png", "001.png")
    images(pins / "validation/good", "000.png")
    images(pins / "test/good", "000.png", "001.png", seed=3)
    images(pins / "test/logical_anomalies", "000.png", seed=6)
    images(pins / "test/structural_anomalies", "000.png", seed=8)
    for name, drawn in (("000", mask(value=254)), ("001", corner())):
        save(drawn, pins / f"ground_truth/logical_anomalies/000/{name}.png")
    save(mask(value=250), pins / "ground_truth/structural_anomalies/000/000.png")
    return {"pushpins": (2, 2, 2)}


def real_iad(root: Path) -> Counts:
    listed: dict[str, list[dict[str, str | None]]] = {"train": [], "test": []}

    def add(split: str, thing: str, view: int, kind: str) -> None:
        code = "OK" if thing.startswith("OK") else "NG"
        name = f"{thing}/usb_0001_{code}_C{view}_2023.jpg"
        save(made_image(len(listed["test"])), root / "realiad_1024/usb" / name)
        drawn = None if kind == "OK" else name.replace(".jpg", ".png")
        if drawn is not None:
            save(mask(), root / "realiad_1024/usb" / drawn)
        entry = {"category": "usb", "anomaly_class": kind, "image_path": name, "mask_path": drawn}
        listed[split].append(entry)

    for view in range(1, 6):
        add("train", "OK/S0001", view, "OK")
        add("test", "OK/S0002", view, "OK")
        add("test", "NG/HS/S0003", view, "HS" if view < 3 else "OK")
    meta = {"prefix": "usb/", "normal_class": "OK", "pre_transform": False}
    (root / "realiad_jsons").mkdir()
    (root / "realiad_jsons/usb.json").write_text(json.dumps({"meta": meta, **listed}))
    (root / "realiad_jsons/zipper.json").write_text(json.dumps({"meta": meta, **listed}))  # not downloaded
    return {"usb": (5, 8, 2)}


def btad(root: Path) -> Counts:
    for category, suffix in (("01", "bmp"), ("02", "png")):
        images(root / category / "train/ok", f"0000.{suffix}", f"0001.{suffix}")
        images(root / category / "test/ok", f"0000.{suffix}", seed=3)
        images(root / category / "test/ko", f"0000.{suffix}", f"0001.{suffix}", seed=5)
        for name in ("0000.png", "0001.png"):
            save(mask(), root / category / "ground_truth/ko" / name)
    return {"01": (2, 1, 2), "02": (2, 1, 2)}


def dagm(root: Path) -> Counts:
    for category in ("Class1", "Class10"):
        for split, seed in (("Train", 0), ("Test", 10)):
            images(root / category / split, "0001.PNG", "0002.PNG", "0003.PNG", seed=seed)
            save(mask(), root / category / split / "Label/0002_label.PNG")
            (root / category / split / "Label/Labels.txt").write_text("1\n")
    return {"Class1": (2, 2, 1), "Class10": (2, 2, 1)}


def dtd_synthetic(root: Path) -> Counts:
    for category, end in (("Woven_001", "_mask"), ("Mesh_114", "")):
        images(root / category / "train/good", "000.png")
        images(root / category / "test/good", "000.png", seed=3)
        images(root / category / "test/bad", "000.png", seed=5)
        save(mask(), root / category / f"ground_truth/bad/000{end}.png")
    return {"Mesh_114": (1, 1, 1), "Woven_001": (1, 1, 1)}


def ksdd(root: Path) -> Counts:
    for item in ("kos01", "kos02", "kos11"):
        for part in range(3):
            save(made_image(part), root / item / f"Part{part}.jpg")
            save(mask() if part == 1 else black(), root / item / f"Part{part}_label.bmp")
    return {"commutator": (4, 2, 3)}


def ksdd2(root: Path) -> Counts:
    for split, first in (("train", 10000), ("test", 20000)):
        for number in range(first, first + 3):
            save(made_image(number), root / split / f"{number}.png")
            save(mask() if number == first + 1 else black(), root / split / f"{number}_GT.png")
    return {"surface": (2, 2, 1)}


def magnetic_tile(root: Path) -> Counts:
    for number, kind in enumerate(("Free", "Blowhole", "Break", "Crack", "Fray", "Uneven")):
        for image in range(4 if kind == "Free" else 1):
            name = f"MT_{kind}/Imgs/exp{image}_num_{number}"
            save(made_image(image), root / f"{name}.jpg")
            save(black() if kind == "Free" else mask(), root / f"{name}.png")
    return {"magnetic_tile": (2, 2, 5)}


def _scans(normal: str, abnormal: str, category: str) -> Callable[[Path], Counts]:
    def make(root: Path) -> Counts:
        images(root / normal, "1 no.jpeg", "2.JPG")
        images(root / abnormal, "Y1.jpg", "Y2.png", "Y3.jpg", seed=5)
        return {category: (0, 2, 3)}

    return make


def _segmented(
    folder: str, masks: str, category: str, end: str = "", suffix: str = ".png"
) -> Callable[[Path], Counts]:
    def make(root: Path) -> Counts:
        images(root / folder, "a1.jpg", "a2.jpg")
        for name in ("a1", "a2"):
            save(
                mask(), root / masks / f"{name}{end}{suffix}", **({"quality": 95} if suffix == ".jpg" else {})
            )
        return {category: (0, 0, 2)}

    return make


def meta_json(root: Path) -> Counts:
    images(root, "cup/0.png", "cup/1.png", "cup/2.png", "lid/0.png")
    save(mask(), root / "masks/2.png")

    def entry(name: str, species: str, drawn: str = "") -> dict[str, str | int]:
        category = name.split("/")[0]
        kind = {"cls_name": category, "specie_name": species, "anomaly": int(bool(drawn))}
        return {"img_path": name, "mask_path": drawn, **kind}

    test = {
        "cup": [entry("cup/1.png", "good"), entry("cup/2.png", "dent", "masks/2.png")],
        "lid": [entry("lid/0.png", "", "masks/2.png")],
    }
    (root / "meta.json").write_text(
        json.dumps({"train": {"cup": [entry("cup/0.png", "good")]}, "test": test})
    )
    return {"cup": (1, 1, 1), "lid": (0, 0, 1)}


STAND_INS: dict[str, Callable[[Path], Counts]] = {
    "mpdd": mpdd,
    "mvtec_ad_2": mvtec_ad_2,
    "mvtec_loco": mvtec_loco,
    "real_iad": real_iad,
    "btad": btad,
    "dagm": dagm,
    "dtd_synthetic": dtd_synthetic,
    "ksdd": ksdd,
    "ksdd2": ksdd2,
    "magnetic_tile": magnetic_tile,
    "headct": _scans("normal", "abnormal", "head"),
    "brainmri": _scans("no", "yes", "brain"),
    "br35h": _scans("no", "yes", "brain"),
    "isic": _segmented(
        *("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth", "skin", "_Segmentation")
    ),
    "cvc_colondb": _segmented("images", "masks", "colon"),
    "cvc_clinicdb": _segmented("Original", "Ground Truth", "colon", suffix=".tif"),
    "kvasir": _segmented("images", "masks", "colon"),
    "endo": _segmented("images", "masks", "colon"),
    "tn3k": _segmented("test-image", "test-mask", "thyroid", suffix=".bmp"),
    "meta_json": meta_json,
}
