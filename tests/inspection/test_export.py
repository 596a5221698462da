"""An exported detector scores as the detector does, in a process that knows nothing of this package."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.experiments.command import there
from tests.golden import difference
from vlmad_jax import AnomalyCLIP, InputError, Scores, WinCLIP, load_clip
from vlmad_jax.backbones.plan import CPU_TOKENS, OTHER_TOKENS, current_plan
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection import FittedDetector, export, exported_detector
from vlmad_jax.inspection.detector import Decision
from vlmad_jax.inspection.export import export_detector
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import Detector

SIDE = 64
DECISION = Decision(threshold=0.4, scale=0.02, pixel_threshold=0.6, pixel_low=0.1)
RNG = np.random.default_rng(0)
GOOD = RNG.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
IMAGES = RNG.integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
IMAGES[0, :20, :20] = 0

# Of what this package needs, all but jax and numpy.
ALONE = """
import sys
for name in ("vlmad_jax", "experiments", "absl", "flax", "grain", "orbax", "PIL", "safetensors", "tqdm",
             "transformers"):
    sys.modules[name] = None
import numpy as np
from exported_detector import load
images = np.load("images.npy")
for name, batch in (("words", 1), ("good", 3)):
    detector = load(name + ".stablehlo")
    image, maps = detector.score(images[:batch])
    bad, sure = detector.bad(image), detector.probability(image)
    np.savez(name, image=image, maps=maps, bad=bad, probability=sure)
"""


def fitted(chosen: Detector, good: Any = None, columns: int = 1) -> FittedDetector:
    """A detector of fresh parameters, its images cut in so many tiles."""
    state = chosen.prepare("nut", good, chosen.init(jax.random.key(0)))
    scorer = Scorer(TiledDetector(chosen, Tiling.of(1, columns, SIDE)), batch_size=3)
    return FittedDetector(scorer, state, DECISION, {"object": "nut"}, "0" * 64)


def test_another_process_scores_alike(weights: Path, tmp_path: Path):
    winclip = WinCLIP(load_clip(weights), window_sizes=(2,))
    detectors = {
        "words": fitted(dataclasses.replace(winclip, multi_scale_sizes=(32,))),
        "good": fitted(winclip, GOOD),
    }
    for name, detector in detectors.items():
        export_detector(detector, tmp_path / f"{name}.stablehlo")
    np.save(tmp_path / "images.npy", IMAGES)
    done = there("-c", ALONE, cwd=tmp_path)
    assert done.code == 0, done.stderr
    for name, batch in (("words", 1), ("good", 3)):
        own, seen = own_scores(detectors[name], IMAGES), np.load(tmp_path / f"{name}.npz")
        assert np.ptp(own.map) > 1e-3
        assert difference(seen["image"], own.image[:batch]) <= 1e-6
        assert difference(seen["maps"], own.map[:batch]) <= 1e-6
        scores = [float(score) for score in seen["image"]]
        sure = [DECISION.probability(score) for score in scores]
        assert seen["bad"].tolist() == [DECISION.bad(score) for score in scores]
        np.testing.assert_allclose(seen["probability"], sure, rtol=0, atol=1e-15)


def own_scores(detector: FittedDetector, images: np.ndarray) -> Scores:
    return detector.scorer.score_all(detector.state, images)


@pytest.fixture(scope="module")
def tiled(weights: Path) -> FittedDetector:
    """AnomalyCLIP on images of two tiles."""
    return fitted(AnomalyCLIP.for_backbone(load_clip(weights)), columns=2)


@pytest.fixture(scope="module")
def exported(tiled: FittedDetector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It for two platforms."""
    out = tmp_path_factory.mktemp("exported") / "nut.stablehlo"
    export_detector(tiled, out, ["cuda", "cpu"])
    return out


def test_another_method_and_tiles(tiled: FittedDetector, exported: Path):
    loaded = exported_detector.load(exported)
    assert loaded.size == tiled.canvas == (64, 112)
    images = np.concatenate([IMAGES, IMAGES[:, ::-1]], axis=2)[:, :, :112]
    (image, maps), own = loaded.score(images), own_scores(tiled, images)
    assert difference(image, own.image) <= 1e-6
    assert difference(maps, own.map) <= 1e-6


class TokensOfPlan(WinCLIP):
    """A method whose scores are a choice that depends on the device."""

    def score_with(self, variables: Any, state: Any, images: jax.Array) -> Scores:
        tokens = jnp.full(len(images), current_plan().chunk_tokens, jnp.float32)
        return Scores(tokens, jnp.zeros(images.shape[:3]))


def test_each_platform_has_the_code_of_its_plan(weights: Path):
    detector = fitted(TokensOfPlan(load_clip(weights), window_sizes=(2,)))
    program = export.lower(detector, ("cuda", "cpu"))
    image, _ = jax.jit(program.call)(IMAGES)
    assert image.tolist() == [CPU_TOKENS] * 3
    assert f"{OTHER_TOKENS:.6e}" in program.mlir_module()
    assert f"{OTHER_TOKENS:.6e}" not in export.lower(detector, ("cpu",)).mlir_module()


def test_what_is_written_beside(exported: Path):
    about = json.loads(Path(f"{exported}.json").read_text())
    assert (about["method"], about["object"], about["detector"]) == ("anomalyclip", "nut", "0" * 64)
    assert about["platforms"] == ["cuda", "cpu"]
    assert {name: about[name] for name in DECISION.describe()} == DECISION.describe()
    program = jax.export.deserialize(bytearray(exported.read_bytes()))
    assert program.platforms == ("cuda", "cpu")
    assert [str(shape) for shape in program.in_avals] == ["uint8[batch,64,112,3]"]
    assert [str(shape) for shape in program.out_avals] == ["float32[batch]", "float32[batch,64,112]"]


@pytest.mark.parametrize("images", [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:0], IMAGES[:, :32]])
def test_images_of_another_kind_are_refused(images: np.ndarray, exported: Path):
    with pytest.raises(ValueError, match=r"give uint8 \(B, 64, 112, 3\), B of 1 or more"):
        exported_detector.load(exported).score(images)


def test_a_program_that_is_not_of_its_json_file_is_refused(exported: Path, tmp_path: Path):
    copy = tmp_path / exported.name
    copy.write_bytes(exported.read_bytes()[:-1])
    Path(f"{copy}.json").write_bytes(Path(f"{exported}.json").read_bytes())
    with pytest.raises(ValueError, match=r"nut\.stablehlo: does not match .*\.json; copy both again"):
        exported_detector.load(copy)


def test_weights_that_do_not_fit_one_file_are_refused(
    tiled: FittedDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(export, "LARGEST", 2**16)
    with pytest.raises(InputError, match=r"\d\.\d\d GiB.* 0\.00; fit with --dtype=bfl"):
        export_detector(tiled, tmp_path / "nut.stablehlo")
    assert not list(tmp_path.iterdir())
