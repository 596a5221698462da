"""The synthetic set: procedurally rendered products of the families that pretraining never sees.

Rendered once into the cache, in the MVTec layout: for each family one product (a category) with 16 good
pictures to train, and 20 good and 40 defective ones to test, at 256 x 256 pixels, with masks. The folder is
named by a digest of everything that decides the pixels, so another version of the renderer is another folder.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data import rendering
from vlmad_jax.data.layout import scan_layout
from vlmad_jax.data.samples import GOOD
from vlmad_jax.data.source import Source, cache_folder
from vlmad_jax.errors import InputError

SIZE = 256
SEED = 1
COUNTS = {"train": 16, "good": 20, "defective": 40}


@dataclass(frozen=True)
class _Job:
    """One picture to render; `defect` is None for a good one, then there is no mask."""

    family: str
    picture: str
    mask: str | None
    defect: str | None
    seed: tuple[int, ...]


def _jobs() -> list[_Job]:
    jobs = []
    for family in rendering.TEST_FAMILIES:
        category, base = _folder_name(family), (SEED, zlib.crc32(family.encode()))
        for part, split in enumerate(("train", "test")):
            for number in range(COUNTS["train" if split == "train" else "good"]):
                picture = f"{category}/{split}/{GOOD}/{number:03}.png"
                jobs.append(_Job(family, picture, None, None, (*base, part, number)))
        defects = rendering.defects_of(family)
        for number in range(COUNTS["defective"]):
            defect = defects[number % len(defects)]
            kind = _folder_name(defect)
            picture = f"{category}/test/{kind}/{number // len(defects):03}.png"
            mask = f"{category}/ground_truth/{kind}/{number // len(defects):03}_mask.png"
            jobs.append(_Job(family, picture, mask, defect, (*base, 2, number)))
    return jobs


def render_share(folder: str, share: int, shares: int) -> None:
    """Render each `shares`-th picture, from number `share` on, below `folder`; print a line after each."""
    product = cache(lambda family: rendering.make_product(family, [SEED, zlib.crc32(family.encode())]))
    for job in _jobs()[share::shares]:
        if job.defect is None:
            pixels = rendering.render_good(product(job.family), job.seed, SIZE)
        else:
            _, pixels, mask = rendering.render_pair(product(job.family), job.defect, job.seed, SIZE)
            _save(mask * np.uint8(255), Path(folder, str(job.mask)))
        _save(pixels, Path(folder, job.picture))
        print(job.picture, flush=True)


def _locate(data_dir: Path | None) -> Path:
    if data_dir is not None:
        raise InputError("--data_dir: dataset synthetic is rendered by itself; leave the flag out")
    root = cache_folder() / "synthetic" / _version()
    if not root.is_dir():
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=root.parent, prefix=".rendering.") as temporary:
                unfinished = Path(temporary, root.name)
                _render_all(unfinished)
                unfinished.rename(root)
        except OSError as error:
            if not root.is_dir():  # else another process was quicker
                message = f"{root.parent}: cannot be written ({error.strerror})"
                raise InputError(f"{message}; set VLMAD_JAX_CACHE to another folder") from None
    return root


def _render_all(folder: Path) -> None:
    """Render every picture below `folder`, with one process a core and a progress bar.

    Plain processes instead of `multiprocessing`, whose children run the caller's script again: this must
    work in a script without a main guard, in a notebook, and in a process where JAX runs threads.
    """
    shares = os.cpu_count() or 1
    call = "import sys; from vlmad_jax.data.synthetic import render_share as render; "
    call += "render(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    pipe, writing = os.pipe()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", call, folder, str(share), str(shares)], stdout=writing, env=environment
        )
        for share in range(shares)
    ]
    os.close(writing)
    try:
        with (
            open(pipe) as lines,
            tqdm(total=len(_jobs()), desc="rendering", unit=" pictures", disable=None) as progress,
        ):
            for _ in lines:
                progress.update()
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        failed = any([worker.wait() for worker in workers])
    if failed:
        raise RuntimeError("rendering the synthetic data set failed; the cause stands above")


def _version() -> str:
    """16 hexadecimal digits that change with the settings here or the code of the renderer."""
    digest = hashlib.sha256(repr((SIZE, SEED, COUNTS)).encode())
    for path in sorted(Path(rendering.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def _folder_name(name: str) -> str:
    return name.replace(" ", "_")


SYNTHETIC = Source(
    name="synthetic",
    homepage="",
    citation="",
    locate=_locate,
    scan=scan_layout,
)
