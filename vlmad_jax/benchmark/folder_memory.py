"""The memory that judging a large folder takes, against the images that are done.

The folder holds a few hundred different images, rendered, under as many names as are asked for: hard links,
which read as files of their own and take no room.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import matplotlib.figure
import numpy as np
from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.report.parts import Figure
from vlmad_jax.synthetic.dataset_images import Plan, render_all

FAMILY = "hex nut"
# Good images that a detector is fitted to.
GOOD = 16
# Names in a folder: more would slow down whoever looks into it.
NAMES = 1000
# Of one file, as common file systems have it.
MOST_LINKS = 60_000
# Images after which everything is loaded and compiled.
WARM = 1000
INTERVAL = 0.25  # seconds between two looks


class Sample(NamedTuple):
    """What was seen: seconds since the start, images done, bytes of memory held."""

    seconds: float
    images: int
    memory: int


def make_folders(folder: Path, images: int, different: int, size: int, seed: int) -> tuple[Path, Path]:
    """Renders good images, and new ones, a quarter of which have defects; returns the folders of both.

    Args:
      folder: where.
      images: names in the second folder.
      different: files that they are links to, at least 2.
      size: side of the images in pixels.
      seed: of the images.

    Raises:
      InputError: too many names for so few files, or links cannot be made there.
    """
    if images > MOST_LINKS * different:
        raise InputError(f"--images={images} are too many links to {different} files; give more --different")
    render_all(folder, Plan((FAMILY,), size, seed, GOOD, different - different // 4, different // 4))
    rendered = folder / FAMILY.replace(" ", "_")
    files = sorted((rendered / "test").rglob("*.png"))
    for number in tqdm(range(images), desc="linking", unit=" images", disable=None):
        link = folder / "new" / f"{number // NAMES:04}" / f"{number:07}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(files[number % len(files)], link)
        except OSError as error:
            raise InputError(f"{link}: cannot be linked ({error.strerror}); give another --out") from error
    return rendered / "train", folder / "new"


def follow(command: Sequence[str], rows: Path, images: int) -> list[Sample]:
    """Runs a command, with a bar, and looks at its memory and at how many lines it has written to `rows`.

    Raises:
      InputError: there is no /proc to look into, or the command fails: with the last line that it printed.
    """
    if not Path("/proc/self/status").exists():
        raise InputError("memory of another process is read from /proc, which Linux has; run it there")
    samples: list[Sample] = []
    done = 0
    began = time.perf_counter()
    with tempfile.TemporaryFile() as told, tqdm(total=images, unit=" images", disable=None) as bar:
        process = subprocess.Popen(command, stdout=told, stderr=told)
        with contextlib.ExitStack() as stack:
            stack.callback(process.wait)
            stack.callback(process.kill)
            written: BinaryIO | None = None
            while process.poll() is None:
                time.sleep(INTERVAL)
                if written is None and rows.exists():
                    written = stack.enter_context(open(rows, "rb"))
                fresh = written.read().count(b"\n") if written else 0
                done += fresh
                bar.update(fresh)
                if memory := _resident(process.pid):
                    samples.append(Sample(time.perf_counter() - began, done, memory))
        if process.returncode not in (0, 2):  # 2: some are bad
            told.seek(0)
            last = told.read().decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"the measured command failed: {''.join(last)}")
    return samples


def results(samples: Sequence[Sample], images: int) -> dict[str, Any]:
    """What the samples come to; memory in bytes, its growth by a straight line from the warm state on.

    Raises:
      InputError: the images were through too soon to be seen.
    """
    warm, total = min(WARM, images // 2), samples[-1].images
    ended = next(number for number, sample in enumerate(samples) if sample.images == total)
    seen = [sample for sample in samples[: ended + 1] if sample.images >= warm]  # not what shuts down
    if len({sample.images for sample in seen}) < 2:
        raise InputError(f"{images} images are judged too quickly to be followed; give more")
    first = next(sample for sample in samples if sample.images)
    last = seen[-1]
    done, memory = np.array([(sample.images, sample.memory) for sample in seen], np.float64).T
    return {
        "images": images,
        "seconds": last.seconds,
        "images_per_second": (last.images - first.images) / (last.seconds - first.seconds),
        "warm_images": seen[0].images,
        "warm_memory": seen[0].memory,
        "end_memory": last.memory,
        "peak_memory": max(sample.memory for sample in samples),
        "growth_per_image": float(np.polyfit(done, memory, 1)[0]),
    }


def text(found: dict[str, Any]) -> str:
    """The results in a line."""
    return (
        f"{found['images']:,} images, {found['images_per_second']:.1f} a second; memory "
        f"{found['warm_memory'] / 1e6:.0f} MB after {found['warm_images']:,} images, "
        f"{found['end_memory'] / 1e6:.0f} MB at the end, at most {found['peak_memory'] / 1e6:.0f} MB: "
        f"{found['growth_per_image']:+.0f} bytes an image"
    )


def table(samples: Sequence[Sample]) -> str:
    """The samples as CSV."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([Sample._fields, *samples])
    return file.getvalue()


def figure(samples: Sequence[Sample]) -> Figure:
    """Memory against images."""

    def draw(canvas: matplotlib.figure.Figure) -> None:
        axes = canvas.subplots()
        axes.plot([sample.images for sample in samples], [sample.memory / 1e6 for sample in samples])
        axes.set_xlabel("images judged")
        axes.set_ylabel("memory, MB")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:,.0f}")

    data = [sample._asdict() for sample in samples]
    return Figure("memory", "Memory while a folder is judged", data, draw)


def _resident(process: int) -> int:
    """Bytes of memory that a process holds; 0 where it has ended."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024
    return 0
