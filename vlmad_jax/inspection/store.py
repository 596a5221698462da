"""A fitted detector in its directory, and back.

manifest.json              checksums, see `saved`
detector.json              method, setting, object, weights, tiles, thresholds and how they were got, versions
arrays.safetensors         the state and what was learned, by name, see `trees`
good_scores.csv            the scores of good images that the threshold was got from
references/0000.jpg ...    the good images, small
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save

from vlmad_jax.backbones.checkpoints.hub import BUNDLED, is_bundled
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.backbones.clip import CLIP, load_clip
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.decision import Decision
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.saved import MANIFEST, verify, write_saved
from vlmad_jax.inspection.scorer import Scorer
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.inspection.trees import flatten, unflatten
from vlmad_jax.inspection.words import Words, with_words, words_of
from vlmad_jax.methods import method
from vlmad_jax.runtime.about import version
from vlmad_jax.runtime.cache import CACHE_VERSION
from vlmad_jax.runtime.notices import print_stderr

DESCRIPTION = "detector.json"
ARRAYS = "arrays.safetensors"
GOOD_SCORES = "good_scores.csv"


def save_detector(
    out: Path,
    scorer: Scorer,
    state: Any,
    params: Mapping[str, Any],
    decision: Decision,
    about: Mapping[str, Any],
    files: Mapping[str, bytes],
    overwrite: bool = False,
) -> None:
    """Writes a detector that `load_detector` reads.

    Args:
      out: the directory, written whole or not at all.
      scorer: the method and its tiles.
      state: of the product.
      params: what was learned that the state was made with; {} if nothing.
      decision: the thresholds.
      about: how it came to be, for `detector.json`; "object" at least.
      files: others to keep, by name.
      overwrite: replace a detector that is there.

    Raises:
      InputError: `out` is something else, or cannot be written.
    """
    detector = scorer.detector
    (state_tree, state_arrays), (params_tree, params_arrays) = (
        flatten(jax.device_get(tree), name) for tree, name in ((state, "state"), (params, "params"))
    )
    description = {
        "method": detector.name,
        **about,
        "setting": detector.setting,
        "words": None if (words := words_of(detector)) is None else words.describe(),
        "tiles": scorer.tiling.describe(),
        "weights": describe_weights(detector.clip),
        "decision": decision.describe(),
        "versions": versions(),
        "state": state_tree,
        "params": params_tree,
    }
    # The library writes raw memory: views must be made contiguous, scalars must stay zero-dimensional.
    arrays = {name: np.asarray(x, order="C") for name, x in (state_arrays | params_arrays).items()}
    own = {
        DESCRIPTION: json.dumps(description, indent=2, allow_nan=False).encode() + b"\n",
        ARRAYS: save(arrays),
    }
    write_saved(out, {**own, **files}, overwrite)


def load_detector(path: str | Path, weights: str | Path | None = None, batch_size: int = 1) -> FittedDetector:
    """Loads what `experiments.fit` saved; nothing in it is executed.

    Args:
      path: the saved directory.
      weights: where the backbone is, if it was moved; the same weights, by their fingerprint.
      batch_size: images scored together; fewer are filled up to as many, so that all compile once.

    One that was fitted by a version that computes other scores is loaded, and that is said on stderr.

    Raises:
      InputError: no saved detector, one that was cut short or altered, or other weights.
    """
    path = Path(path)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size} is less than 1; give 1 or more")
    checksum = verify(path)
    description = _described(path)
    tell_of_version(path, description)
    clip = _load_weights(path, description["weights"], None if weights is None else str(weights))
    return _restored(path, clip, batch_size, description, checksum)


def load_again(path: Path, clip: CLIP, batch_size: int) -> FittedDetector:
    """What was saved with a backbone that is loaded already; raises InputError as `load_detector` does."""
    checksum = verify(path)
    return _restored(path, clip, batch_size, _described(path), checksum)


def save_threshold(path: Path, detector: FittedDetector, threshold: float) -> None:
    """Replaces a saved detector by the same with another threshold, and another checksum.

    Raises:
      InputError: the threshold is not finite; the directory is damaged, or not what `detector` was loaded
        from; or it cannot be written.
    """
    changed = detector.with_threshold(threshold)
    if verify(path) != detector.checksum:
        raise InputError(f"{path}: was replaced since it was loaded; start again with what is there now")
    described = _described(path)
    before = described["threshold"]
    fitted = before.get("fitted", before["text"])
    told = f"threshold: {changed.threshold:.6g}, set by hand; as it was fitted: {fitted}"
    by_hand = {"rule": "by hand", "fitted": fitted, "lines": [told], "text": told}
    described |= {"decision": changed.decision.describe(), "threshold": before | by_hand}
    names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
    files = {name: (path / name).read_bytes() for name in names if name != MANIFEST}
    files[DESCRIPTION] = json.dumps(described, indent=2, allow_nan=False).encode() + b"\n"
    write_saved(path, files, overwrite=True)


def saved_params(path: Path) -> dict[str, Any]:
    """What was learned that a saved detector was made with; {} if nothing."""
    return unflatten(_described(path)["params"], read_tensors(path / ARRAYS))


def good_scores(path: Path) -> list[tuple[int, float]]:
    """Of a saved detector's good images, as `good_scores.csv` has them: version (0 is itself), score."""
    file = path / GOOD_SCORES
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8", errors="surrogateescape") as lines:
        return [(int(row["version"]), float(row["score"])) for row in csv.DictReader(lines)]


def describe_weights(clip: CLIP) -> dict[str, Any]:
    """The backbone by a name that is good from any folder, and its fingerprints."""
    directory = Path(clip.name).expanduser()
    name = str(directory.resolve()) if directory.is_dir() else clip.name
    return {
        "name": BUNDLED if is_bundled(clip.name) else name,
        "dtype": clip.dtype,
        "fingerprint": clip.fingerprint,
        "identity": clip.identity,
    }


def versions() -> dict[str, Any]:
    """What computed it; "numbers" is another where the package computes other scores."""
    own = {"python": platform.python_version(), "numbers": CACHE_VERSION, "vlmad-jax": version()}
    return own | {name: importlib.metadata.version(name) for name in ("jax", "numpy", "pillow")}


def tell_of_version(path: Path, description: dict[str, Any]) -> None:
    """Says on stderr if the threshold was fitted to scores that this version may compute otherwise."""
    if description["versions"].get("numbers", CACHE_VERSION) != CACHE_VERSION:
        told = f"{path}: was fitted by a version that computes other scores; fit again for a right threshold"
        print_stderr(told)


def _described(path: Path) -> dict[str, Any]:
    return json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))


def _restored(
    path: Path, clip: CLIP, batch_size: int, description: dict[str, Any], checksum: str
) -> FittedDetector:
    detector = method(description["method"]).with_setting(clip, description["setting"])
    if description.get("words") is not None:
        detector = with_words(detector, Words.from_json(description["words"]))
    state = unflatten(description["state"], read_tensors(path / ARRAYS))
    return FittedDetector(
        Scorer(detector, Tiling(**description["tiles"]), batch_size),
        jax.tree.map(jnp.asarray, state),
        Decision(**description["decision"]),
        description,
        checksum,
    )


def _load_weights(path: Path, described: dict[str, Any], weights: str | None) -> CLIP:
    try:
        clip = load_clip(weights or described["name"], described["dtype"])
    except InputError as error:
        if weights is None:
            raise InputError(
                f"{path}: its weights cannot be had ({error}); say where they are, by weights= or --weights="
            ) from error
        raise
    if clip.fingerprint != described["fingerprint"]:
        raise InputError(
            f"{path}: was fitted with the weights {described['name']} ({described['fingerprint']}), "
            f"but {clip.name} are others ({clip.fingerprint}); give those, by weights= or --weights="
        )
    return clip
