"""Fit a detector with a threshold to images of good parts, and save it in one directory.

    python -m experiments.fit --object="metal nut" --references=good --out=nut.vlmad

`good` is a folder of images of good parts, 20 or more if possible, without masks or labels. Each image and
slight variations of it (shifted, rotated, lit differently, blurred, with noise) are scored by a detector that
was fitted without it. From these scores follows the threshold that a share of --false_alarms of good parts
will exceed. The command prints how the threshold was made, and what rate the number of images supports.

Without --references a zero-shot method such as winclip knows the product at most by its name, and the
threshold is a guess. Large images are cut into tiles (--tiles). Then:

    python -m experiments.predict nut.vlmad new
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.fit import FitConfig, fit
from vlmad_jax.inspection.threshold import SOURCES
from vlmad_jax.methods import METHODS, method
from vlmad_jax.methods.detector import TextDetector
from vlmad_jax.runtime.names import decode_name, printable

common.define_model_flags()
common.define_resize_flag()
common.define_method_options()
common.define_workers_flag()
DEFAULT = FitConfig("", "")
UNNAMED = "part"  # for methods that compare no texts
METHOD = flags.DEFINE_string("method", None, f"One of {', '.join(METHODS)}; winclip by default.")
OBJECT = flags.DEFINE_string("object", None, "The object, such as metal nut; methods without text need none.")
REFERENCES = define_path("references", None, "Images of good parts: a folder, or one file.")
OUT = define_path("out", None, "The directory to write, for example nut.vlmad.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing detector.")
FALSE_ALARMS = flags.DEFINE_float(
    "false_alarms", DEFAULT.false_alarms, "Wanted share of good parts that are called bad."
)
TILES = flags.DEFINE_string("tiles", DEFAULT.tiles, "auto, 3 for 3 x 3, or 2x5 for 2 rows of 5.")
AUGMENTATIONS = flags.DEFINE_integer(
    "augmentations", DEFAULT.augmentations, "Variations of each reference image.", lower_bound=0
)
THRESHOLD_FROM = flags.DEFINE_string(
    "threshold_from", DEFAULT.threshold_from, f"Scores that make the threshold: {' or '.join(SOURCES)}."
)
FOLDS = flags.DEFINE_integer(
    "folds", DEFAULT.folds, "Blocks of images that are held out; 0 is one per image, at most 16."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", DEFAULT.batch_size, "Images scored together.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", DEFAULT.seed, "Seed of the variations.", lower_bound=0)


WITH_REFERENCES = (
    "method winclip by default: with 4 reference images its image AUROC is 0.958 and 0.767 on "
    "the two data sets of docs/results.md; patchcore, which is faster, has 0.913 and 0.784"
)
WITHOUT = "method winclip by default: it works from prompts alone and needs no training"


def main() -> None:
    """Fit the detector that the flags describe."""
    name = METHOD.value or common.DEFAULT_METHOD
    named = OBJECT.value is not None or not issubclass(method(name), TextDetector)
    for missing, flag, remedy in ((not named, OBJECT, "metal nut"), (OUT.value is None, OUT, "nut.vlmad")):
        if missing:
            raise InputError(f"--{flag.name} is missing; for example --{flag.name}={remedy!r}")
    values = flags.FLAGS
    config = FitConfig(
        method=name,
        object_name=UNNAMED if OBJECT.value is None else decode_name(OBJECT.value),
        references=REFERENCES.value,
        weights=values.weights,
        false_alarms=FALSE_ALARMS.value,
        tiles=TILES.value,
        options=common.method_options(),
        dtype=values.dtype,
        augmentations=AUGMENTATIONS.value,
        threshold_from=THRESHOLD_FROM.value,
        folds=FOLDS.value,
        batch_size=BATCH_SIZE.value,
        seed=SEED.value,
        resize=values.resize,
    )
    fitted = fit(config, Path(OUT.value), OVERWRITE.value, values.workers)
    for path, error in fitted.references.skipped if fitted.references else ():
        print(printable(f"skipped: {path}: {error}"), file=sys.stderr)
    if METHOD.value is None:
        print(WITH_REFERENCES if REFERENCES.value else WITHOUT)
    print(f"tiles: {fitted.tiling}", *fitted.threshold["lines"], sep="\n")
    print(f"the detector is {OUT.value}")
    common.mention_bundled(config.weights)


if __name__ == "__main__":
    common.main(main)
