"""Tests of crops of photographs."""

import numpy as np
import pytest
from PIL import Image

from vlmad_jax import InputError
from vlmad_jax.pretraining import photographs as module
from vlmad_jax.pretraining.photographs import draw_crop, photographs_in


def save(path, pixels) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return str(path)


@pytest.fixture
def waves(tmp_path) -> str:
    """A photograph without black pixels, twice as wide as high."""
    y, x = np.mgrid[:200, :400]
    return save(
        tmp_path / "waves.png", 128 + 90 * np.stack([np.sin(x / 9), np.sin(y / 7), np.cos(x / 5)], -1)
    )


def test_photographs_are_found_below_a_folder(tmp_path):
    first = save(tmp_path / "a/x.png", np.zeros((4, 4)))
    second = save(tmp_path / "a/below/y.jpg", np.zeros((4, 4)))
    third = save(tmp_path / "b/z.png", np.zeros((4, 4)))
    (tmp_path / "a/notes.txt").write_text("no image")
    folders = [str(tmp_path / name) for name in "ab"]
    assert photographs_in(folders) == (tuple(sorted((first, second))), (third,))
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(InputError, match=rf"{name}: has no images"):
            photographs_in([str(tmp_path / name)])


def test_a_crop_is_a_function_of_the_random_numbers(waves):
    crops = [draw_crop(np.random.default_rng(seed), [[waves]], 48) for seed in (1, 2, 1)]
    np.testing.assert_array_equal(crops[0], crops[2])
    assert not np.array_equal(crops[0], crops[1])
    assert {(x.shape, x.dtype.name, x.flags["C_CONTIGUOUS"]) for x in crops} == {((48, 48, 3), "uint8", True)}


def test_crops_hold_nothing_from_outside_the_photograph(waves, monkeypatch):
    """A rotated crop would have black corners if it reached beyond the photograph."""
    monkeypatch.setattr(module, "recoloured", lambda rng, square: np.asarray(square))
    darkest = [draw_crop(np.random.default_rng(seed), [[waves]], 40).min() for seed in range(200)]
    assert min(darkest) > 5


def test_every_folder_is_equally_likely(tmp_path):
    dark = [save(tmp_path / f"dark{n}.png", np.full((100, 100, 3), 20)) for n in range(5)]
    bright = [save(tmp_path / "bright.png", np.full((100, 100, 3), 200))]
    means = [draw_crop(np.random.default_rng(seed), [dark, bright], 8).mean() for seed in range(200)]
    assert 0.4 < np.mean(np.array(means) > 60) < 0.6


def test_a_photograph_smaller_than_the_crop(tmp_path):
    small = save(tmp_path / "small.png", np.full((20, 30, 3), 99))
    for seed in range(5):
        assert draw_crop(np.random.default_rng(seed), [[small]], 64).shape == (64, 64, 3)
