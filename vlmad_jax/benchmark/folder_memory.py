"""The memory of a prediction over a large folder, as a function of the number of predicted images.

The folder has a few hundred distinct rendered images and hard links to them, which are read like separate
files and take no space.
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
# The number of normal images to which a detector is fitted.
NORMAL_IMAGES = 16
# The largest number of files in one folder; listing larger folders is slow.
FILES_PER_FOLDER = 1000
# The largest number of links to one file in common file systems.
MAX_LINKS = 60_000
# The number of images after which everything is loaded and compiled.
WARM_IMAGES = 1000
INTERVAL = 0.25  # seconds between two samples


class Sample(NamedTuple):
    """A sample of memory: seconds since the start, predicted images, and resident bytes."""

    seconds: float
    images: int
    memory: int


def make_folders(folder: Path, images: int, different: int, size: int, seed: int) -> tuple[Path, Path]:
    """Render normal images, and new ones of which a quarter are anomalous.

    Args:
      folder: The folder for all files.
      images: The number of new images, most of which are links.
      different: The number of distinct new images, at least 2.
      size: The side of the images in pixels.
      seed: The seed of the images.

    Returns:
      The folders of the normal and of the new images.

    Raises:
      InputError: There would be too many links to one file, or links cannot be created in `folder`.
    """
    if images > MAX_LINKS * different:
        raise InputError(
            f"--images={images} needs too many links to {different} files; give more --different"
        )
    render_all(folder, Plan((FAMILY,), size, seed, NORMAL_IMAGES, different - different // 4, different // 4))
    rendered = folder / FAMILY.replace(" ", "_")
    files = sorted((rendered / "test").rglob("*.png"))
    for number in tqdm(range(images), desc="linking", unit=" images", disable=None):
        link = folder / "new" / f"{number // FILES_PER_FOLDER:04}" / f"{number:07}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(files[number % len(files)], link)
        except OSError as error:
            raise InputError(
                f"{link}: cannot be created as a link ({error.strerror}); give another --out"
            ) from error
    return rendered / "train", folder / "new"


def follow(command: Sequence[str], rows: Path, images: int) -> list[Sample]:
    """Run a command with a progress bar, and sample its memory and the number of lines in its output file.

    Args:
      command: The command and its arguments.
      rows: The file to which the command writes a line for each image.
      images: The expected number of lines.

    Raises:
      InputError: The machine has no /proc, or the command fails; the message has the last line it printed.
    """
    if not Path("/proc/self/status").exists():
        raise InputError(
            "the memory of another process is read from /proc, which this system lacks; run it on Linux"
        )
    samples: list[Sample] = []
    done = 0
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output, tqdm(total=images, unit=" images", disable=None) as bar:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        with contextlib.ExitStack() as stack:
            stack.callback(process.wait)
            stack.callback(process.kill)
            written: BinaryIO | None = None
            while process.poll() is None:
                time.sleep(INTERVAL)
                if written is None and rows.exists():
                    written = stack.enter_context(open(rows, "rb"))
                new = written.read().count(b"\n") if written else 0
                done += new
                bar.update(new)
                if memory := _resident(process.pid):
                    samples.append(Sample(time.perf_counter() - started, done, memory))
        if process.returncode not in (0, 2):  # 2: some images are anomalous
            output.seek(0)
            last = output.read().decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"the measured command failed: {''.join(last)}")
    return samples


def results(samples: Sequence[Sample], images: int) -> dict[str, Any]:
    """Return a summary of the samples, with memory in bytes and its growth by a linear fit after warm-up.

    Raises:
      InputError: All images were predicted between two samples.
    """
    warm, total = min(WARM_IMAGES, images // 2), samples[-1].images
    end = next(number for number, sample in enumerate(samples) if sample.images == total)
    seen = [sample for sample in samples[: end + 1] if sample.images >= warm]  # without the shutdown
    if len({sample.images for sample in seen}) < 2:
        raise InputError(f"--images={images} are predicted too quickly to be sampled; give more")
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
    """Return the results as one line of text."""
    return (
        f"{found['images']:,} images, {found['images_per_second']:.1f} a second; memory "
        f"{found['warm_memory'] / 1e6:.0f} MB after {found['warm_images']:,} images, "
        f"{found['end_memory'] / 1e6:.0f} MB at the end, at most {found['peak_memory'] / 1e6:.0f} MB: "
        f"{found['growth_per_image']:+.0f} bytes an image"
    )


def table(samples: Sequence[Sample]) -> str:
    """Return the samples as CSV."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([Sample._fields, *samples])
    return file.getvalue()


def figure(samples: Sequence[Sample]) -> Figure:
    """Return a figure of memory by the number of predicted images."""

    def draw(canvas: matplotlib.figure.Figure) -> None:
        axes = canvas.subplots()
        axes.plot([sample.images for sample in samples], [sample.memory / 1e6 for sample in samples])
        axes.set_xlabel("predicted images")
        axes.set_ylabel("memory, MB")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:,.0f}")

    data = [sample._asdict() for sample in samples]
    return Figure("memory", "Memory during the prediction of a folder", data, draw)


def _resident(process: int) -> int:
    """Return the resident bytes of a process, or 0 if it has ended."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024
    return 0
