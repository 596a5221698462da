"""Rendering of the synthetic data sets with one process for each core."""

import os
import subprocess
import sys
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax import synthetic as rendering
from vlmad_jax.runtime.cores import cores


@dataclass(frozen=True)
class Plan:
    """The content of a data set.

    Attributes:
        families: The families, each of which makes a category.
        size: The side of the images in pixels.
        seed: The seed of all products and images.
        train: The number of normal training images of each family.
        good: The number of normal test images of each family.
        defective: The number of anomalous test images of each family.
    """

    families: tuple[str, ...] = rendering.TEST_FAMILIES
    size: int = 256
    seed: int = 1
    train: int = 16
    good: int = 20
    defective: int = 40


PLANS = {
    "synthetic": Plan(),
    # Invented objects are left out because no prompt could name them.
    "synthetic_train": Plan((*rendering.TRAIN_TEXTURES, *rendering.TRAIN_OBJECTS), train=0, defective=20),
}


@dataclass(frozen=True)
class Job:
    """One image to render, with relative paths. `defect` and `mask` are None for a normal image."""

    family: str
    seed: tuple[int, ...]
    image: str
    defect: str | None = None
    mask: str | None = None


def jobs(plan: Plan) -> list[Job]:
    """Return the job of every image.

    Seeds depend on the family's name, so that a new family does not change the images of others.
    """
    found = []
    for family in plan.families:
        category, seed = _folder_name(family), _seed(family, plan)
        for part, (split, count) in enumerate({"train": plan.train, "test": plan.good}.items()):
            for number in range(count):
                found.append(Job(family, (*seed, part, number), f"{category}/{split}/good/{number:03}.png"))
        defects = rendering.defects_of(family)
        for number in range(plan.defective):
            defect = defects[number % len(defects)]
            name = f"{_folder_name(defect)}/{number // len(defects):03}"
            image, mask = f"{category}/test/{name}.png", f"{category}/ground_truth/{name}_mask.png"
            found.append(Job(family, (*seed, 2, number), image, defect, mask))
    return found


def render_share(folder: str, plan: Plan, share: int, shares: int) -> None:
    """Render every `shares`-th image into `folder`, starting with number `share`, and print a line for each.

    Masks have the values 0 and 255.
    """
    product = cache(lambda family: rendering.make_product(family, _seed(family, plan)))
    for job in jobs(plan)[share::shares]:
        if job.defect is None or job.mask is None:
            pixels = rendering.render_good(product(job.family), job.seed, plan.size)
        else:
            pixels, mask = rendering.render_anomalous(product(job.family), job.defect, job.seed, plan.size)
            save(mask * np.uint8(255), Path(folder, job.mask))
        save(pixels, Path(folder, job.image))
        print(job.image, flush=True)


def render_all(folder: Path, plan: Plan) -> None:
    """Render every image into `folder`, with one process for each core and a progress bar.

    The processes are not those of `multiprocessing`, which would run the caller's script again. Rendering
    therefore works in a script without a main guard, in a notebook, and in a process with JAX's threads.

    Raises:
        RuntimeError: A process failed.
    """
    shares = min(cores(), len(jobs(plan)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    reading, writing = os.pipe()
    workers = []
    for share in range(shares):
        call = f"s.render_share({str(folder)!r}, s.{plan}, {share}, {shares})"
        command = [sys.executable, "-c", f"import vlmad_jax.synthetic.dataset_images as s; {call}"]
        workers.append(subprocess.Popen(command, stdout=writing, env=environment))
    os.close(writing)
    try:
        with open(reading) as done:
            for _ in tqdm(done, total=len(jobs(plan)), desc="rendering", unit=" images", disable=None):
                pass
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        failed = any([worker.wait() for worker in workers])
    if failed:
        raise RuntimeError("rendering the synthetic data set failed; see the error above")


def _seed(family: str, plan: Plan) -> tuple[int, int]:
    return (plan.seed, zlib.crc32(family.encode()))


def save(pixels: np.ndarray, path: Path) -> None:
    """Write pixels to a PNG file, quickly rather than small, and create its folder if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1, compress_type=zlib.Z_RLE)


def _folder_name(name: str) -> str:
    return name.replace(" ", "_")
