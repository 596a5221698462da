"""Decide whether new images show good or bad parts, with a detector of experiments.fit.

    python -m experiments.predict nut.vlmad new                     # a folder with its subfolders; also files
    find new -name '*.png' | python -m experiments.predict nut.vlmad -     # answers each line at once
    python -m experiments.predict nut.vlmad camera --watch          # answers each image as it arrives
    python -m experiments.predict nut.vlmad new --engine=ray        # on all machines of a Ray cluster

OUT/scores.jsonl and OUT/scores.csv get a row for each image when it is scored: path, frame (in a video or a
file of several images), score, probability, decision (good or bad), boxes of the defects (x, y, width and
height in pixels, and the peak of the map; as a table in OUT/boxes.csv), milliseconds, a digest of the file's
content, or the error that prevented a score. Rows stay however a run ends. The next run with the same --out
scores new files, and those whose content changed; rows of files that are gone are not counted. --save_maps
adds a heat map of each image as OUT/maps/<its path below the given folder>.png. `-` and --watch also print a
line of JSON for each image; `-` writes files only with --out. Videos, and with --sequence the images of each
folder, are sequences: maps are smoothed over time, and after a bad frame a sequence stays bad until its
probability falls below --release.

--engine=ray (extra: ray) scores single images on the cluster at --ray_address or RAY_ADDRESS, or on one that
it starts here. All machines need the images, the detector and its weights under the same paths.

The last lines count the decisions of this run, give the number of rows kept from an earlier run, and name the
bad images. The exit code is 0 if no image is bad, 2 if an image is bad in this run or a kept row, and 1 for
an error or if no image could be scored.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from absl import flags

from vlmad_jax.commands import cluster, common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.live import predict_live
from vlmad_jax.inspection.predict import PredictConfig, predict
from vlmad_jax.inspection.saved import load_detector
from vlmad_jax.inspection.sequences import Smoothing

common.define_workers_flag()
cluster.define()
DEFAULT = Smoothing()
OUT = define_path("out", None, "Folder of the results; by default one in results/predict.")
WEIGHTS = define_path("weights", None, "Directory of the detector's weights, if they were moved.")
BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Images scored together; by default 8, and 1 with - and --watch.", lower_bound=1
)
RESUME = flags.DEFINE_bool("resume", True, "Keep the rows of an interrupted run.")
SAVE_MAPS = flags.DEFINE_bool("save_maps", False, "Also write a heat map of each image.")
THRESHOLD = flags.DEFINE_float("threshold", None, "Threshold of scores; by default the detector's own.")
SEQUENCE = flags.DEFINE_bool("sequence", False, "The images of a folder, sorted by name, are a sequence.")
SMOOTHING = flags.DEFINE_float(
    "smoothing", DEFAULT.weight, "Weight of the newest frame of a sequence; 1 disables smoothing."
)
RELEASE = flags.DEFINE_float(
    "release", DEFAULT.release, "Probability below which a sequence is good again; 0.5 disables it."
)
WATCH = flags.DEFINE_bool("watch", False, "Watch a folder that a camera writes to.")
IDLE_SECONDS = flags.DEFINE_float("idle_seconds", None, "End --watch after so many seconds without an image.")


def check(sources: tuple[str, ...]) -> None:
    """Raise InputError for arguments and flags that exclude each other."""
    if WATCH.value and (len(sources) > 1 or not Path(sources[0]).is_dir()):
        raise InputError(f"--watch: {' '.join(sources)} is not a folder; give the folder of the camera")
    if "-" in sources and len(sources) > 1:
        raise InputError("- reads paths from standard input; give it as the only source")
    if IDLE_SECONDS.value is not None and not WATCH.value:
        raise InputError("--idle_seconds needs --watch; give both, or leave it out")
    if "-" in sources and SAVE_MAPS.value and not OUT.value:
        raise InputError("--save_maps needs --out when paths come from standard input")
    given = [f"--{flag.name}" for flag in (WATCH, SEQUENCE, SAVE_MAPS) if flag.value]
    given += [f"--{flag.name}" for flag in (SMOOTHING, RELEASE) if flag.present]
    cluster.check(given + ["--workers"] * bool(flags.FLAGS.workers) + ["-"] * ("-" in sources))


def out_of(detector: FittedDetector, name: str, sources: tuple[str, ...]) -> Path:
    """Return a folder whose name depends on the detector and the sources."""
    asked = repr([detector.checksum, detector.threshold, [str(Path(x).absolute()) for x in sources]])
    return Path("results/predict") / f"{Path(name).stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def main(name: str, *sources: str) -> int:
    """Score the images and print a summary; return the exit code."""
    check(sources)
    smoothing = Smoothing(SMOOTHING.value, RELEASE.value)
    config = PredictConfig(SEQUENCE.value, smoothing, SAVE_MAPS.value, flags.FLAGS.workers, RESUME.value)
    detector = load_detector(name, WEIGHTS.value)
    if THRESHOLD.value is not None:
        detector = detector.with_threshold(THRESHOLD.value)
    live, out = WATCH.value or "-" in sources, Path(OUT.value) if OUT.value else None
    out = out_of(detector, name, sources) if out is None and "-" not in sources else out
    several = 1 if live else max(1, 8 // detector.model.tiling.count)
    detector = detector.with_batch_size(BATCH_SIZE.value or several)
    if out is None or live:
        source = Path(sources[0]) if WATCH.value else sys.stdin.buffer
        counts = predict_live(detector, source, sys.stdout, out, config, IDLE_SECONDS.value)
    else:
        counts = predict(detector, sources, out, config, cluster.engine_for(name, detector))
    kept = f"; results are in {out}" if out else ""
    print(f"{counts}{kept}", *counts.lines(), sep="\n", file=sys.stderr if live else sys.stdout)
    if counts.failed and not counts.good + counts.bad + counts.kept + counts.kept_bad:
        raise InputError(f"none of {counts.failed} images could be scored; their rows give the errors")
    return 2 if counts.any_bad else 0


if __name__ == "__main__":
    common.main(main, "DETECTOR", "IMAGES...")
