"""Export a fitted detector as one program that holds its weights and its memory, and needs only JAX.

nut.stablehlo          the file of `jax.export`: StableHLO for each platform, with its constants
nut.stablehlo.json     size, thresholds, platforms, and the program's checksum
exported_detector.py   loads both, and imports nothing of this package
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.plan import plan_of_platform, using
from vlmad_jax.errors import InputError
from vlmad_jax.inspection import exported_detector
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.runtime.files import write_atomically

Arrays = tuple[jax.Array, jax.Array]  # image scores and maps

PLATFORMS = ("cpu", "cuda", "tpu")
# A program is one buffer of at most 2 GiB, of which the code needs a part.
LARGEST = 2**31 - 2**28


def check_export(out: Path, platforms: Sequence[str]) -> None:
    """Raise InputError for errors that show before a detector is loaded."""
    if not platforms or not set(platforms) <= set(PLATFORMS) or len(set(platforms)) < len(platforms):
        given = ",".join(platforms)
        raise InputError(f"--platforms={given}: give one or more of {','.join(PLATFORMS)}, each once")
    if importlib.util.find_spec("flatbuffers") is None:
        raise InputError("exporting needs the package flatbuffers: pip install -e '.[export]'")
    for file in (out, _about(out)):
        if file.exists() or file.is_symlink():
            raise InputError(f"--out={out}: {file} exists already; remove it, or give another name")
    loader = _loader(out)
    if loader.exists() and loader.read_bytes() != _loader_source():
        raise InputError(f"--out={out}: {loader} differs from the loader; remove it, or give another folder")


def export_detector(detector: FittedDetector, out: Path, platforms: Sequence[str] = PLATFORMS) -> list[Path]:
    """Write a detector as a program, and return the files.

    The program maps uint8 (B, *canvas, 3), B of 1 or more, to image scores (B,) and maps (B, *canvas). It
    scores one image after another, so that neither memory nor scores depend on B; a larger batch saves calls,
    not work. What depends on the device, such as the number of windows that are encoded together, is chosen
    for each platform, whichever platform exports.

    Raises:
      InputError: `check_export` raises it, the weights and the memory are too large for one file, or a file
        cannot be written.
    """
    check_export(out, platforms)
    program = lower(detector, platforms).serialize()
    about = {
        "method": detector.method.name,
        "object": detector.object_name,
        "size": list(detector.canvas),
        **({} if (resample := detector.reader.resample) == "bicubic" else {"resample": resample}),
        **detector.decision.describe(),
        "platforms": list(platforms),
        "exported_on": jax.default_backend(),
        "jax": jax.__version__,
        "detector": detector.checksum,
        "sha256": hashlib.sha256(program).hexdigest(),
    }
    files = {
        _loader(out): _loader_source(),
        out: bytes(program),
        _about(out): json.dumps(about, indent=2, allow_nan=False).encode() + b"\n",
    }
    for file, content in files.items():
        write_atomically(file, content)
    return [out, _about(out), _loader(out)]


def lower(detector: FittedDetector, platforms: Sequence[str]) -> export.Exported:
    """Lower a detector to a program for each platform; raise InputError if its constants are too large."""
    model, state = detector.model, jax.tree.map(jnp.asarray, jax.device_get(detector.state))
    variables = {"params": model.backbone.params["vision"]}
    size = sum(leaf.nbytes for leaf in jax.tree.leaves((variables, state)))
    if size > LARGEST:
        raise InputError(
            f"weights and memory take {size / 2**30:.2f} GiB, and a file holds {LARGEST / 2**30:.2f}; "
            "fit with --dtype=bfloat16, a smaller backbone, or fewer reference images"
        )

    def score_on(platform: str, variables: Variables, state: Any, canvases: jax.Array) -> Arrays:
        # A batch of one, so that no size in the detector is symbolic.
        def score_one(canvas: jax.Array) -> Arrays:
            scores = model.score_with(variables, state, canvas[None])
            return jnp.asarray(scores.image)[0], jnp.asarray(scores.map)[0]

        with using(plan_of_platform(platform)):
            return jax.lax.map(score_one, canvases)

    def score(canvases: jax.Array) -> Arrays:
        # The arrays are arguments of each platform's code, so that the file holds them once.
        codes = {platform: functools.partial(score_on, platform) for platform in platforms}
        return jax.lax.platform_dependent(variables, state, canvases, **codes)

    (batch,) = export.symbolic_shape("batch")
    canvases = jax.ShapeDtypeStruct((batch, *detector.canvas, 3), jnp.uint8)
    return export.export(jax.jit(score), platforms=tuple(platforms))(canvases)


def _about(out: Path) -> Path:
    return out.with_name(out.name + ".json")


def _loader(out: Path) -> Path:
    return out.with_name("exported_detector.py")


def _loader_source() -> bytes:
    return Path(exported_detector.__file__).read_bytes()
