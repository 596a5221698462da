"""Writes a detector of experiments.fit as one program that runs with JAX alone, weights and memory inside.

    pip install -e '.[export]'
    python -m experiments.export nut.vlmad --out=nut.stablehlo

Writes nut.stablehlo (StableHLO for --platforms, by jax.export), nut.stablehlo.json (size, thresholds) and
exported_detector.py, which loads both and needs jax, numpy and flatbuffers, but nothing of this package:

    from exported_detector import load
    detector = load("nut.stablehlo")
    image, maps = detector.score(images)      # uint8 (B, rows, columns, 3), any B; see the file's docstring

The scores are the detector's own, to float32 rounding on the same device. The file is as large as the image
encoder's weights: 8 MB for weights/tiny, 1.2 GB for a ViT-L/14 in float32. JAX versions read files of the
half year before them. With the bundled weights it takes 7 s on two cores of an AMD EPYC.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.export import PLATFORMS, check_export, export_detector
from vlmad_jax.inspection.saved import load_detector

OUT = define_path("out", None, "The file to write, for example nut.stablehlo.")
TARGETS = flags.DEFINE_list("platforms", list(PLATFORMS), f"Some of {', '.join(PLATFORMS)}.")
WEIGHTS = define_path("weights", None, "Where the detector's weights are now, if they were moved.")


def main(name: str) -> None:
    """A saved detector in, a program out."""
    if not OUT.value:
        raise InputError("--out is missing; give for example nut.stablehlo")
    out = Path(OUT.value)
    check_export(out, TARGETS.value)
    for file in export_detector(load_detector(name, WEIGHTS.value), out, TARGETS.value):
        print(f"{file}: {file.stat().st_size:,} bytes")
    print(f"runs on {', '.join(TARGETS.value)}")


if __name__ == "__main__":
    common.main(main, "DETECTOR")
