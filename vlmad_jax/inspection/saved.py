"""Save a fitted detector to a directory, and load it.

manifest.json              checksums, see `manifest`
detector.json              method, setting, object, weights, tiles, thresholds and their origin, versions
arrays.safetensors         the state and the learned parameters, by name, see `flatten`
environment.json           versions, commit and machine that fitted it
good_scores.csv            the scores of the reference images that the threshold was made from
references/0000.jpg ...    thumbnails of the reference images
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from vlmad_jax.backbones import Backbone, load_backbone
from vlmad_jax.backbones.checkpoints.hub import BUNDLED, is_bundled
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection.detector import Decision, FittedDetector
from vlmad_jax.inspection.manifest import MANIFEST, verify, write_saved
from vlmad_jax.inspection.prompts import Prompts, prompts_of, with_prompts
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import method
from vlmad_jax.runtime.about import version
from vlmad_jax.runtime.cache import CACHE_VERSION
from vlmad_jax.runtime.environment import FILE as ENVIRONMENT
from vlmad_jax.runtime.environment import environment
from vlmad_jax.runtime.notices import print_stderr

Arrays = dict[str, np.ndarray]


def flatten(tree: Any, name: str) -> tuple[Any, Arrays]:
    """Take a tree of arrays apart into a description, which JSON can hold, and named arrays.

    {"text": a, "windows": (b, c)} becomes the arrays "text", "windows/0" and "windows/1", and the description
    {"dict": {"text": "text", "windows": {"tuple": ["windows/0", "windows/1"]}}}, with `name` in front of each
    name. A named tuple is described like a dict of those of its fields that are not None; `restored` makes it
    again.

    Raises:
      TypeError: the tree holds anything but dicts with strings as keys, named tuples, tuples, lists, None and
        arrays.
    """
    if tree is None:
        return None, {}
    if isinstance(tree, tuple) and hasattr(tree, "_asdict"):
        tree = {key: branch for key, branch in tree._asdict().items() if branch is not None}
    if isinstance(tree, Mapping):
        if not all(isinstance(key, str) and "/" not in key for key in tree):
            raise TypeError(f"{name}: has keys that are not plain strings: {list(tree)}")
        parts = {key: flatten(branch, f"{name}/{key}") for key, branch in tree.items()}
        return {"dict": {key: part for key, (part, _) in parts.items()}}, _joined(parts.values())
    if type(tree) in (tuple, list):
        found = [flatten(branch, f"{name}/{k}") for k, branch in enumerate(tree)]
        return {type(tree).__name__: [part for part, _ in found]}, _joined(found)
    array = np.asarray(tree)
    if array.dtype == object:
        raise TypeError(f"{name}: a {type(tree).__name__} is not an array")
    return name, {name: array}


def unflatten(description: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the tree that `flatten` took apart; raise KeyError for a missing array."""
    if description is None:
        return None
    if isinstance(description, str):
        return arrays[description]
    ((kind, branches),) = description.items()
    if kind == "dict":
        return {key: unflatten(branch, arrays) for key, branch in branches.items()}
    sequence = [unflatten(branch, arrays) for branch in branches]
    return tuple(sequence) if kind == "tuple" else sequence


def restored(kind: type | None, tree: Any) -> Any:
    """Return a tree whose dict was the named tuple `kind` when it was flattened; `kind` may be another type.

    A field whose type is a named tuple, or a named tuple or None, is restored too.
    """
    if kind is None or not hasattr(kind, "_fields") or tree is None:
        return tree
    types = typing.get_type_hints(kind)
    choices = {name: typing.get_args(x) or (x,) for name, x in types.items()}
    kinds = {name: next((x for x in found if hasattr(x, "_fields")), None) for name, found in choices.items()}
    return kind(**{name: restored(kinds[name], branch) for name, branch in tree.items()})


def _joined(parts: Any) -> Arrays:
    return {name: array for _, arrays in parts for name, array in arrays.items()}


DESCRIPTION = "detector.json"
ARRAYS = "arrays.safetensors"
REFERENCE_SCORES = "good_scores.csv"
# Names in detectors that an earlier version saved, with their names of today.
RENAMED = {"view_sizes": "multi_scale_sizes", "pictures": "images"}


def save_detector(
    out: Path,
    model: TiledDetector,
    state: Any,
    params: Mapping[str, Any],
    decision: Decision,
    about: Mapping[str, Any],
    files: Mapping[str, bytes],
    overwrite: bool = False,
) -> None:
    """Write a detector that `load_detector` reads.

    Args:
      out: directory, which is written whole or not at all.
      model: the method and its tiles.
      state: state of the category.
      params: learned parameters that the state was made with; {} if there are none.
      decision: the thresholds.
      about: entries of `detector.json` that tell how it was fitted; "object" at least.
      files: other files to store, by name.
      overwrite: replace a detector that exists there.

    Raises:
      InputError: `out` is not a detector that may be replaced, or cannot be written.
    """
    detector = model.detector
    (state_tree, state_arrays), (params_tree, params_arrays) = (
        flatten(jax.device_get(tree), name) for tree, name in ((state, "state"), (params, "params"))
    )
    description = {
        "method": detector.name,
        **about,
        "setting": detector.setting,
        "words": None if (prompts := prompts_of(detector)) is None else prompts.describe(),
        "tiles": model.tiling.describe(),
        "weights": describe_weights(detector.backbone),
        "decision": decision.describe(),
        "versions": versions(),
        "state": state_tree,
        "params": params_tree,
    }
    # safetensors writes raw memory: views must become contiguous, and scalars must stay zero-dimensional.
    arrays = {name: np.asarray(x, order="C") for name, x in (state_arrays | params_arrays).items()}
    own = {
        DESCRIPTION: json.dumps(description, indent=2, allow_nan=False).encode() + b"\n",
        ARRAYS: save(arrays),
        ENVIRONMENT: json.dumps(environment(), indent=2).encode() + b"\n",
    }
    write_saved(out, {**own, **files}, overwrite)


def load_detector(path: str | Path, weights: str | Path | None = None, batch_size: int = 1) -> FittedDetector:
    """Load a detector that `fit` saved; nothing in it is executed.

    A line on stderr warns if it was fitted by a version that computes other scores.

    Args:
      path: the saved directory.
      weights: directory of the backbone if it was moved; its fingerprint must be the same.
      batch_size: number of images that are scored together; a smaller batch is filled up to this number, so
        that the program compiles once.

    Raises:
      InputError: the directory is not a saved detector, was cut short or altered, or the weights differ.
    """
    path = Path(path)
    if batch_size < 1:
        raise InputError(f"batch_size {batch_size} is less than 1; give 1 or more")
    checksum = verify(path)
    description = _described(path)
    warn_of_version(path, description)
    backbone = _load_weights(path, description["weights"], None if weights is None else str(weights))
    return _restored(path, backbone, batch_size, description, checksum)


def load_again(path: Path, backbone: Backbone, batch_size: int) -> FittedDetector:
    """Load a detector whose backbone is loaded already; raise InputError as `load_detector` does."""
    checksum = verify(path)
    return _restored(path, backbone, batch_size, _described(path), checksum)


def save_threshold(path: Path, detector: FittedDetector, threshold: float) -> None:
    """Replace the threshold in a saved detector, which changes its checksum.

    Raises:
      InputError: the threshold is not finite; the directory is damaged or not the one that `detector` was
        loaded from; or it cannot be written.
    """
    changed = detector.with_threshold(threshold)
    if verify(path) != detector.checksum:
        raise InputError(f"{path}: was replaced since it was loaded; start again to load the new one")
    described = _described(path)
    before = described["threshold"]
    fitted = before.get("fitted", before["text"])
    line = f"threshold: {changed.threshold:.6g}, set by hand; as fitted: {fitted}"
    by_hand = {"rule": "by hand", "fitted": fitted, "lines": [line], "text": line}
    described |= {"decision": changed.decision.describe(), "threshold": before | by_hand}
    names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
    files = {name: (path / name).read_bytes() for name in names if name != MANIFEST}
    files[DESCRIPTION] = json.dumps(described, indent=2, allow_nan=False).encode() + b"\n"
    write_saved(path, files, overwrite=True)


def saved_params(path: Path) -> dict[str, Any]:
    """Return the learned parameters that a saved detector was made with; {} if there are none."""
    return unflatten(_described(path)["params"], read_tensors(path / ARRAYS))


def read_reference_scores(path: Path) -> list[tuple[int, float]]:
    """Return (version, score) of each row of `good_scores.csv`; version 0 is a reference image itself."""
    file = path / REFERENCE_SCORES
    if not file.exists():
        return []
    with open(file, newline="", encoding="utf-8", errors="surrogateescape") as lines:
        return [(int(row["version"]), float(row["score"])) for row in csv.DictReader(lines)]


def describe_weights(backbone: Backbone) -> dict[str, Any]:
    """Return the backbone's fingerprints, and its name, which is valid in any working directory."""
    directory = Path(backbone.name).expanduser()
    name = str(directory.resolve()) if directory.is_dir() else backbone.name
    return {
        "name": BUNDLED if is_bundled(backbone.name) else name,
        "dtype": backbone.dtype,
        "fingerprint": backbone.fingerprint,
        "identity": backbone.identity,
    }


def versions() -> dict[str, Any]:
    """Return the versions of the software; "numbers" changes when the package computes other scores."""
    own = {"python": platform.python_version(), "numbers": CACHE_VERSION, "vlmad-jax": version()}
    return own | {name: importlib.metadata.version(name) for name in ("jax", "numpy", "pillow")}


def warn_of_version(path: Path, description: dict[str, Any]) -> None:
    """Warn on stderr if the detector was fitted by a version that may compute other scores."""
    if description["versions"].get("numbers", CACHE_VERSION) != CACHE_VERSION:
        print_stderr(
            f"{path}: was fitted by a version that computes other scores; fit again for a valid threshold"
        )


def _described(path: Path) -> dict[str, Any]:
    """Return the contents of `detector.json`, with the names of today."""
    described = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
    for part in ("setting", "options", "threshold"):
        described[part] = {RENAMED.get(name, name): x for name, x in described[part].items()}
    if described["threshold"]["rule"] == "one picture":
        described["threshold"]["rule"] = "one image"
    return described


def _restored(
    path: Path, backbone: Backbone, batch_size: int, description: dict[str, Any], checksum: str
) -> FittedDetector:
    detector = method(description["method"]).with_setting(backbone, description["setting"])
    if description.get("words") is not None:
        detector = with_prompts(detector, Prompts.from_json(description["words"]))
    state = restored(detector.state_type, unflatten(description["state"], read_tensors(path / ARRAYS)))
    scorer = Scorer(TiledDetector(detector, Tiling.described(description["tiles"])), batch_size)
    return FittedDetector(
        scorer,
        scorer.copy(state),
        Decision(**description["decision"]),
        description,
        checksum,
    )


def _load_weights(path: Path, described: dict[str, Any], weights: str | None) -> Backbone:
    try:
        backbone = load_backbone(weights or described["name"], described["dtype"])
    except InputError as error:
        if weights is None:
            raise InputError(
                f"{path}: its weights cannot be loaded ({error}); "
                "give their directory by --weights= or weights="
            ) from error
        raise
    if backbone.fingerprint != described["fingerprint"]:
        raise InputError(
            f"{path}: was fitted with the weights {described['name']} ({described['fingerprint']}), "
            f"but {backbone.name} differs ({backbone.fingerprint}); give the former by --weights= or weights="
        )
    return backbone
