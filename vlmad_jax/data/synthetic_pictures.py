"""Rendering the pictures of the synthetic set, with one process a core."""

import hashlib
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

from vlmad_jax.data import rendering
from vlmad_jax.data.samples import GOOD

SIZE = 256
SEED = 1
TRAIN, TEST_GOOD, TEST_DEFECTIVE = 16, 20, 40  # pictures of each category


@dataclass(frozen=True)
class Job:
    """One picture to render; `defect` and `mask` are None for a good one. Paths are relative."""

    family: str
    seed: tuple[int, ...]
    picture: str
    defect: str | None = None
    mask: str | None = None


def jobs() -> list[Job]:
    """Every picture of the set. Seeds hang on the family's name, so that adding one changes no other."""
    found = []
    for family in rendering.TEST_FAMILIES:
        category, seed = _folder_name(family), _seed(family)
        for part, (split, count) in enumerate({"train": TRAIN, "test": TEST_GOOD}.items()):
            for number in range(count):
                found.append(Job(family, (*seed, part, number), f"{category}/{split}/{GOOD}/{number:03}.png"))
        defects = rendering.defects_of(family)
        for number in range(TEST_DEFECTIVE):
            defect = defects[number % len(defects)]
            name = f"{_folder_name(defect)}/{number // len(defects):03}"
            picture, mask = f"{category}/test/{name}.png", f"{category}/ground_truth/{name}_mask.png"
            found.append(Job(family, (*seed, 2, number), picture, defect, mask))
    return found


def render(job: Job, folder: Path) -> None:
    """Render one picture, and its mask as 0 and 255, below `folder`."""
    product = _product(job.family)
    if job.defect is None or job.mask is None:
        _save(rendering.render_good(product, job.seed, SIZE), folder / job.picture)
    else:
        _, defective, mask = rendering.render_pair(product, job.defect, job.seed, SIZE)
        _save(defective, folder / job.picture)
        _save(mask * np.uint8(255), folder / job.mask)


def render_share(folder: str, share: int, shares: int) -> None:
    """Render every `shares`-th picture, from number `share` on; print a line after each."""
    for job in jobs()[share::shares]:
        render(job, Path(folder))
        print(job.picture, flush=True)


def render_all(folder: Path) -> None:
    """Render every picture below `folder`, with one process a core and a progress bar.

    Plain processes instead of `multiprocessing`, whose children run the caller's script again: this must
    work in a script without a main guard, in a notebook, and in a process where JAX runs threads.
    """
    shares = os.cpu_count() or 1
    call = "import sys; from vlmad_jax.data.synthetic_pictures import render_share; "
    call += "render_share(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    reading, writing = os.pipe()
    workers = []
    for share in range(shares):
        command = [sys.executable, "-c", call, str(folder), str(share), str(shares)]
        workers.append(subprocess.Popen(command, stdout=writing, env=environment))
    os.close(writing)
    try:
        with open(reading) as done:
            for _ in tqdm(done, total=len(jobs()), desc="rendering", unit=" pictures", disable=None):
                pass
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        failed = any([worker.wait() for worker in workers])
    if failed:
        raise RuntimeError("rendering the synthetic data set failed; the cause stands above")


def version() -> str:
    """16 hexadecimal digits that change with the settings here or the code of the renderer."""
    digest = hashlib.sha256(repr((SIZE, SEED, TRAIN, TEST_GOOD, TEST_DEFECTIVE)).encode())
    for path in sorted(Path(rendering.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _product(family: str) -> rendering.Product:
    return rendering.make_product(family, _seed(family))


def _seed(family: str) -> tuple[int, int]:
    return (SEED, zlib.crc32(family.encode()))


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def _folder_name(name: str) -> str:
    return name.replace(" ", "_")
