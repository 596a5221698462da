"""Small complete versions of the data sets in their official layouts."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (12, 10)  # width, height


def made_image(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a random image for a seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def mask(value: int = 255, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a mask with a defect of 4 columns and 3 rows."""
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[2:5, 3:7] = value
    return Image.fromarray(pixels)


def make_category(folder: Path, masks: bool = True) -> None:
    """Write 5 training images, and 2 good, 2 scratched and 1 bent test image, in the MVTec layout."""
    for number in range(5):
        save(made_image(number), folder / f"train/good/{number:03}.png")
    for number in range(2):
        save(made_image(10 + number), folder / f"test/good/{number:03}.png")
        save(made_image(20 + number), folder / f"test/scratch/{number:03}.png")
        if masks:
            save(mask(), folder / f"ground_truth/scratch/{number:03}_mask.png")
    save(made_image(30), folder / "test/bent/000.png")
    if masks:
        save(mask(), folder / "ground_truth/bent/000_mask.png")


def make_visa(root: Path) -> None:
    """Write two categories of VisA, each with 3 training images, and 1 normal and 2 anomalous test images."""
    rows = []
    for category in ("candle", "pcb1"):
        for number in range(4):
            name = f"{category}/Data/Images/Normal/{number:04}.JPG"
            save(made_image(number), root / name)
            rows.append((category, "train" if number < 3 else "test", "normal", name, ""))
        for number in range(2):
            name = f"{category}/Data/Images/Anomaly/{number:03}.JPG"
            drawn = f"{category}/Data/Masks/Anomaly/{number:03}.png"
            save(made_image(40 + number), root / name)
            save(mask(value=3), root / drawn)
            rows.append((category, "test", "anomaly", name, drawn))
    (root / "split_csv").mkdir()
    with (root / "split_csv/1cls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("object", "split", "label", "image", "mask"), *rows])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache for every test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(folder))
    return folder


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """A folder with the categories `bottle` and `metal_nut` in the MVTec layout."""
    for category in ("bottle", "metal_nut"):
        make_category(tmp_path / "products" / category)
    return tmp_path / "products"
