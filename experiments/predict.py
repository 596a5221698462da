"""Judges new images with a detector of experiments.fit: good or bad, where, how sure.

    python -m experiments.predict nut.vlmad new                     # a folder and all below it, files, videos
    find new -name '*.png' | python -m experiments.predict nut.vlmad -     # answers each line at once
    python -m experiments.predict nut.vlmad camera --watch          # answers each image as it comes
    python -m experiments.predict nut.vlmad new --engine=ray        # on all machines of a Ray cluster

Writes OUT/scores.jsonl and OUT/scores.csv, a row an image as it is scored: path, frame (of a video or a file
of several images), score, probability, decision (good or bad), boxes of the defects (x, y, width, height in
pixels, and the map's peak; as a table they are OUT/boxes.csv), milliseconds, or the error that kept it from
being scored; and a digest of the file's content. What was written stays, however a run ends, and the next run
with the same --out goes on: it judges what is new, and again what changed; what is gone no longer counts.
--save_maps adds a heat map of each image, OUT/maps/<its path below the folder that was given>.png. `-` and
--watch also answer by a line of JSON on standard output; `-` writes files only with --out. Videos, and with
--sequence the images of each folder, are sequences: maps are smoothed over time, and a bad frame stays bad
until it is clear.

--engine=ray (extra: ray) scores single images on the cluster of --ray_address or RAY_ADDRESS, or on one
that it starts here. All machines see images, detector and weights under the same paths.

The last lines count what this call scored, say how many rows were kept from before, and name the bad images.
Exit code: 0 if none is bad, 2 if any is, scored now or kept, 1 for errors, also if nothing could be scored.
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
OUT = define_path("out", None, "Folder of the results; results/predict/<a name of the run>.")
WEIGHTS = define_path("weights", None, "Where the detector's weights are now, if they were moved.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Images scored together; 8, live 1.", lower_bound=1)
RESUME = flags.DEFINE_bool("resume", True, "Keep what an interrupted run finished.")
SAVE_MAPS = flags.DEFINE_bool("save_maps", False, "Also write a heat map of each image.")
THRESHOLD = flags.DEFINE_float("threshold", None, "Scores above it are bad; the detector's own if not given.")
SEQUENCE = flags.DEFINE_bool("sequence", False, "The images of a folder are frames, in order of names.")
SMOOTHING = flags.DEFINE_float("smoothing", DEFAULT.weight, "Weight of the newest frame; 1 is none.")
RELEASE = flags.DEFINE_float("release", DEFAULT.release, "Bad until the probability is below; 0.5 is none.")
WATCH = flags.DEFINE_bool("watch", False, "Follow a folder that a camera fills.")
IDLE_SECONDS = flags.DEFINE_float("idle_seconds", None, "With --watch: end when nothing came for so long.")


def check(sources: tuple[str, ...]) -> None:
    """Raises InputError for arguments and flags that do not go together."""
    if WATCH.value and (len(sources) > 1 or not Path(sources[0]).is_dir()):
        raise InputError(f"--watch: {' '.join(sources)} is no folder; give the one that is filled")
    if "-" in sources and len(sources) > 1:
        raise InputError("- takes paths from standard input and no other source; give it alone")
    if IDLE_SECONDS.value is not None and not WATCH.value:
        raise InputError("--idle_seconds is of --watch; give both, or leave it out")
    if "-" in sources and SAVE_MAPS.value and not OUT.value:
        raise InputError("--save_maps needs --out where paths come from standard input")
    given = [f"--{flag.name}" for flag in (WATCH, SEQUENCE, SAVE_MAPS) if flag.value]
    given += [f"--{flag.name}" for flag in (SMOOTHING, RELEASE) if flag.present]
    cluster.check(given + ["--workers"] * bool(flags.FLAGS.workers) + ["-"] * ("-" in sources))


def out_of(detector: FittedDetector, name: str, sources: tuple[str, ...]) -> Path:
    """A folder whose name changes with the detector and the sources."""
    asked = repr([detector.checksum, detector.threshold, [str(Path(x).absolute()) for x in sources]])
    return Path("results/predict") / f"{Path(name).stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def main(name: str, *sources: str) -> int:
    """A detector and images in, answers out."""
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
    print(f"{counts}{kept}", *counts.told(), sep="\n", file=sys.stderr if live else sys.stdout)
    if counts.failed and not counts.good + counts.bad + counts.kept + counts.kept_bad:
        raise InputError(f"none of {counts.failed} images could be scored; their rows say why")
    return 2 if counts.any_bad else 0


if __name__ == "__main__":
    common.main(main, "DETECTOR", "IMAGES...")
