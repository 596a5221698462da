"""Real surfaces with rendered defects: three photographs of scikit-image (brick, grass, gravel).

Each photograph, grey with 512 x 512 pixels, is a category. The training images are squares of its left half,
the test images squares of its right half. Some test images get a rendered surface defect with a mask. The
images are made once in the cache in the MVTec layout.
"""

import functools
import zlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data.layout import scan_layout
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD
from vlmad_jax.data.source import Source, cached_folder
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.runtime.contents import digests


@dataclass(frozen=True)
class Plan:
    """The photographs, the side of the squares in pixels, and the number of images per category."""

    photographs: tuple[str, ...] = ("brick", "grass", "gravel")
    size: int = 224
    train: int = 16
    good: int = 20
    defective: int = 40


PLAN = Plan()


def _locate(data_dir: Path | None) -> Path:
    if data_dir is not None:
        raise InputError("--data_dir: dataset textures comes with scikit-image; omit the flag")
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise InputError("dataset textures needs the package scikit-image: pip install -e '.[textures]'")
    photographs = Path(package.origin).parent / "data"
    files = digests([str(photographs / f"{name}.png") for name in PLAN.photographs])
    return cached_folder(
        "textures", cache_key(repr(PLAN), *files), functools.partial(make, photographs, PLAN)
    )


def make(photographs: Path, plan: Plan, folder: Path) -> None:
    """Make all images and masks of a plan below `folder` and show a progress bar."""
    from vlmad_jax.synthetic import SURFACE_DEFECTS, draw_surface_defect
    from vlmad_jax.synthetic.dataset_images import save

    parts = (("train", plan.train, False), ("test", plan.good, False), ("test", plan.defective, True))
    images = len(plan.photographs) * sum(count for _, count, _ in parts)
    with tqdm(total=images, desc="drawing defects", unit=" images", disable=None) as bar:
        for name in plan.photographs:
            whole = np.asarray(Image.open(photographs / f"{name}.png").convert("RGB"))
            for part, (split, count, spoiled) in enumerate(parts):
                for number in range(count):
                    seed = (zlib.crc32(name.encode()), part, number)
                    pixels = square(whole, split, plan.size, np.random.default_rng(seed))
                    path = Path(name, split, GOOD, f"{number:03}.png")
                    if spoiled:
                        defect = SURFACE_DEFECTS[number % len(SURFACE_DEFECTS)]
                        pixels, mask = draw_surface_defect(pixels, defect, seed)
                        kind, stem = defect.replace(" ", "_"), f"{number // len(SURFACE_DEFECTS):03}"
                        path = Path(name, split, kind, f"{stem}.png")
                        save(mask * np.uint8(255), folder / name / "ground_truth" / kind / f"{stem}_mask.png")
                    save(pixels, folder / path)
                    bar.update()


def square(photograph: np.ndarray, split: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random square from the half of the split, uint8 (size, size, 3)."""
    height, width = photograph.shape[:2]
    half = width // 2
    left = int(rng.integers(half - size + 1)) + (0 if split == "train" else width - half)
    top = int(rng.integers(height - size + 1))
    return photograph[top : top + size, left : left + size]


TEXTURES = Source(
    name="textures",
    homepage="https://scikit-image.org",
    citation="S. van der Walt et al.: scikit-image: image processing in Python. PeerJ 2:e453, 2014.",
    locate=_locate,
    scan=scan_layout,
    object_names=OBJECT_NAMES["textures"],
)
