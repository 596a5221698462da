"""A folder in MVTec AD's layout: its 15 categories and 73 defects, two small images of each."""

from pathlib import Path

from tests.data.conftest import made_image, mask, save
from vlmad_jax.report.published import published_defects

SIZE = (24, 24)


def make_mvtec(root: Path) -> None:
    """Write three normal training images and, for testing, two normal ones and two of each defect."""
    seed = 0
    for category, defects in published_defects().items():
        for folder, count in (("train/good", 3), ("test/good", 2)):
            for number in range(count):
                save(made_image(seed := seed + 1, SIZE), root / category / folder / f"{number:03}.png")
        for defect in defects:
            for number in range(2):
                save(made_image(seed := seed + 1, SIZE), root / category / f"test/{defect}/{number:03}.png")
                drawn = root / category / f"ground_truth/{defect}/{number:03}_mask.png"
                save(mask(size=SIZE), drawn)
