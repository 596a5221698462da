"""Copy photographs with free licences out of Python packages, for `experiments.pretrain --teacher`.

    pip install scikit-image scikit-learn conformal-clip-data
    python docs/photographs.py photographs

The second command makes these folders:

- `train/objects` and `held_out/objects`: photographs of scikit-image (CC0 or public domain) and of
  scikit-learn (CC BY).
- `train/surfaces`: the left halves of three surfaces of scikit-image, whose right halves are the test images
  of the data set `textures`, and images of fabric of conformal-clip-data (MIT), which are simulated. Other
  images of fabric are in `held_out/surfaces`.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

OBJECTS = {
    "skimage": (
        "data",
        "astronaut.png camera.png cell.png chelsea.png clock_motion.png coins.png hubble_deep_field.jpg "
        "ihc.png moon.png page.png retina.jpg rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg"),
}
HELD_OUT = {
    "skimage": ("data", "coffee.png motorcycle_left.png"),
    "sklearn": ("datasets/images", "flower.jpg"),
}
SURFACES = ("brick", "grass", "gravel")
TEXTILES = ("conformal_clip_data", "data/textile_images")
# One in so many images of fabric is taken, since they look alike, and one in so many of these is held out.
EVERY, EVERY_HELD_OUT = 600, 4


def folder_of(package: str, below: str) -> Path:
    """Return a folder inside an installed package."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"error: {package} is not installed; see the docstring of {Path(__file__).name}")
    return Path(found.origin).parent / below


def save(source: Path, target: Path, left_half: bool = False) -> None:
    """Copy a photograph, or save its left half."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if left_half:
        image = Image.open(source)
        image.crop((0, 0, image.width // 2, image.height)).save(target)
    else:
        target.write_bytes(source.read_bytes())


def main() -> None:
    """Copy all photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for part, packages in (("train", OBJECTS), ("held_out", HELD_OUT)):
        for package, (below, names) in packages.items():
            for name in names.split():
                save(folder_of(package, below) / name, folder / part / "objects" / name)
    for name in SURFACES:
        path = folder_of("skimage", f"data/{name}.png")
        save(path, folder / f"train/surfaces/{name}.png", left_half=True)
    for number, path in enumerate(sorted(folder_of(*TEXTILES).rglob("*.jpg"))[::EVERY]):
        part = "train" if number % EVERY_HELD_OUT else "held_out"
        save(path, folder / part / "surfaces" / f"fabric_{number}.jpg")


if __name__ == "__main__":
    main()
