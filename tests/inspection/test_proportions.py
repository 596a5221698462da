"""A detector that keeps the proportions of its reference images, from fitting to prediction."""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tests.inspection.brightness import NoClip
from tests.inspection.conftest import part
from vlmad_jax import InputError, load_detector
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.inspection import FitConfig, fit
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import Scores

TALL = Tiling.keeping(Resizing.shorter(16, 8, (27, 17)))


@dataclasses.dataclass(frozen=True, eq=False)
class Fixed:
    """Scores images by their brightness at any size."""

    image_size: tuple[int, int] = (16, 16)
    backbone = NoClip()

    @property
    def size(self) -> tuple[int, int]:
        return self.image_size

    def at_size(self, size: tuple[int, int]) -> "Fixed":
        return Fixed(size)

    def score_with(self, variables: None, state: None, images: np.ndarray) -> Scores:
        assert images.shape[1:3] == self.image_size
        maps = images.mean(axis=-1)
        return Scores(maps.max(axis=(1, 2)), maps)


def test_the_border_that_fills_no_patch_is_not_scored_and_gets_the_nearest_values() -> None:
    assert (TALL.canvas, TALL.tile, TALL.count) == ((25, 16), (24, 16), 1)
    assert str(TALL) == "1 x 1 of 16 x 24 pixels, of images resized to 16 x 25"
    canvases = np.random.default_rng(0).integers(0, 256, (2, 25, 16, 3), np.uint8)
    np.testing.assert_array_equal(TALL.cut(canvases), canvases[:, :24])
    scores = TiledDetector(Fixed((24, 16)), TALL).score_with({}, None, jnp.asarray(canvases, jnp.float32))
    expected = canvases.astype(np.float32).mean(axis=-1)
    expected[:, 24] = expected[:, 23]
    np.testing.assert_allclose(scores.map, expected, rtol=1e-6)
    np.testing.assert_allclose(scores.image, expected.max(axis=(1, 2)), rtol=1e-6)


def test_tiles_are_described_and_read_again() -> None:
    square = Tiling.of(2, 3, (16, 16))
    assert square.describe() == {"rows": 2, "columns": 3, "size": 16, "overlap": 4}
    for tiling in (square, TALL, Tiling.of(1, 2, (24, 16)), Tiling.keeping(Resizing.to((24, 16)))):
        assert Tiling.described(json.loads(json.dumps(tiling.describe()))) == tiling


def test_tiles_that_are_not_square_are_cut_and_stitched() -> None:
    tiling = Tiling.of(2, 3, (16, 24))
    assert tiling.canvas == (28, 64)
    known = np.random.default_rng(1).random((2, *tiling.canvas, 1)).astype(np.float32)
    joined = tiling.join(Scores(np.zeros(12), tiling.cut(known)[..., 0]))
    np.testing.assert_allclose(joined.map, known[..., 0], atol=1e-6)


def test_one_tile_takes_the_proportions_of_the_reference_images() -> None:
    for tiles in ("auto", "1", "1x1"):
        model = TiledDetector.choose(Fixed(), tiles, "shorter", [(17, 27)], "good")
        assert (model.detector.size, model.tiling) == ((24, 16), TALL)
    assert TiledDetector.choose(Fixed(), "2", "square", [], "good").tiling == Tiling.of(2, 2, 16)
    for tiles, resize, images, message in (
        ("2", "shorter", [(17, 27)], "--tiles=2: --resize=shorter takes one tile; drop one of the two"),
        ("1", "shorter", [], "--resize=shorter"),
        ("1", "longer", [], "--resize=longer: give square or shorter"),
    ):
        with pytest.raises(InputError, match=message):
            TiledDetector.choose(Fixed(), tiles, resize, images, "good")


def test_fitted_saved_and_used(config: FitConfig, tmp_path: Path) -> None:
    """The images are 70 x 50 pixels; their shorter edge becomes 64, and 89 columns are cut to 88."""
    out = tmp_path / "plate.vlmad"
    fitted = fit(dataclasses.replace(config, resize="shorter"), out)
    described = json.loads((out / "detector.json").read_text())
    assert described["setting"]["image_size"] == [64, 88]
    assert described["tiles"] == {"rows": 1, "columns": 1, "size": [64, 88], "overlap": 16, "whole": [64, 89]}
    assert described["options"]["resize"] == "shorter"
    assert fitted.references is not None
    assert fitted.references.canvases.shape == (4, 64, 89, 3)
    detector = load_detector(out)
    assert (detector.canvas, detector.method.size) == ((64, 89), (64, 88))
    good, bad = detector([part(9), part(9, spot=True)])
    assert (good.bad, bad.bad) == (False, True)
    assert bad.map.shape == (50, 70)
    box = bad.boxes[0]  # the spot has columns 17 to 35 and rows 12 to 25
    assert box.x < 35
    assert box.x + box.width > 17
    canvas = detector.resize(part(9, spot=True))
    state = detector.method.score(detector.state, canvas[None, :, :88])
    np.testing.assert_allclose(bad.canvas_map[:, :88], state.map[0], rtol=1e-5)
    np.testing.assert_array_equal(bad.canvas_map[:, 88], bad.canvas_map[:, 87])
