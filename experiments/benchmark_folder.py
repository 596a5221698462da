"""Measure the memory and speed of experiments.predict on a very large folder.

    python -m experiments.benchmark_folder                        # 100,000 images
    python -m experiments.benchmark_folder --images=2000          # a quick test

The command renders a few hundred images and creates links to them, fits a detector with the bundled weights
(or loads --detector), and predicts all images in another process, whose memory it samples. It needs Linux, a
few MB of disk, and about ten minutes on two cores. It writes OUT/memory.csv, memory.json and memory.png, a
plot of memory by images, which should be nearly flat after the first images.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

from absl import flags

from vlmad_jax.backbones.checkpoints.hub import BUNDLED
from vlmad_jax.benchmark import folder_memory
from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.inspection import FitConfig, fit
from vlmad_jax.report.figure_files import to_png
from vlmad_jax.runtime.files import write_atomically, write_json
from vlmad_jax.runtime.machine import describe

IMAGES = flags.DEFINE_integer("images", 100_000, "Images in the folder.", lower_bound=8)
DIFFERENT = flags.DEFINE_integer(
    "different", 240, "Number of distinct images; the others are links to them.", lower_bound=8
)
SIZE = flags.DEFINE_integer("size", 256, "Side of the images in pixels.", lower_bound=16)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the rendered images.", lower_bound=0)
METHOD = flags.DEFINE_string("method", "padim", "Method of the detector to fit.")
WEIGHTS = define_path("weights", BUNDLED, "Backbone of the detector to fit.")
DETECTOR = define_path("detector", None, "Detector of experiments.fit to load instead.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images scored together.", lower_bound=1)
OUT = define_path("out", "results/benchmark_folder", "Directory of memory.csv, .json and .png.")


@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of the measurement; see the flags."""

    images: int
    different: int
    size: int
    seed: int
    method: str
    weights: str
    detector: str | None
    batch_size: int


def run(config: Config, out: Path) -> dict[str, object]:
    """Measure, print a line, write the files and return the contents of memory.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        normal, new = folder_memory.make_folders(
            folder, config.images, config.different, config.size, config.seed
        )
        detector = Path(config.detector) if config.detector else folder / "fitted.vlmad"
        if not config.detector:
            fit(FitConfig(config.method, folder_memory.FAMILY, str(normal), config.weights), detector)
        command = [sys.executable, "-m", "vlmad_jax", "predict", str(detector), str(new)]
        command += [f"--out={folder / 'scores'}", f"--batch_size={config.batch_size}"]
        samples = folder_memory.follow(command, folder / "scores/scores.jsonl", config.images)
    found = folder_memory.results(samples, config.images)
    write_atomically(out / "memory.csv", folder_memory.table(samples))
    write_atomically(out / "memory.png", to_png(folder_memory.figure(samples)))
    results = {"machine": describe(), "config": dataclasses.asdict(config), **found}
    write_json(out / "memory.json", results)
    print(folder_memory.text(found))
    return results


def main() -> None:
    """Measure as the flags say."""
    names = [field.name for field in dataclasses.fields(Config)]
    run(Config(**{name: flags.FLAGS[name].value for name in names}), Path(OUT.value))


if __name__ == "__main__":
    common.main(main)
