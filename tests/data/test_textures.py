"""Real surfaces with rendered defects: the squares, the split, and the defects."""

import functools
from pathlib import Path

import numpy as np
import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.data import load_dataset
from vlmad_jax.data.datasets import textures
from vlmad_jax.data.datasets.textures import PLAN, Plan, square
from vlmad_jax.data.images import open_image
from vlmad_jax.data.masks import read_masks
from vlmad_jax.errors import InputError

SMALL = Plan(photographs=("brick",), size=64, train=2, good=1, defective=len(rendering.SURFACE_DEFECTS))


def test_made_once_and_read_like_a_folder(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(textures, "PLAN", SMALL)
    dataset = load_dataset("textures")
    assert dataset.categories == ("brick",)
    assert dataset.object_names["brick"] == "brick wall"
    assert dataset.has_masks("brick")
    (folder,) = (cache / "textures").iterdir()
    before = folder.stat().st_mtime_ns
    assert load_dataset("textures").samples == dataset.samples
    assert folder.stat().st_mtime_ns == before
    defects = {sample.defect for sample in dataset.samples}
    assert defects == {"good", *(name.replace(" ", "_") for name in rendering.SURFACE_DEFECTS)}
    for sample in dataset.samples:
        assert open_image(sample.path).size == (64, 64)
        if sample.masks:
            assert 0.001 < read_masks(sample.masks).mean() < 0.5, sample.defect


def test_published_size() -> None:
    assert len(PLAN.photographs) * (PLAN.train + PLAN.good + PLAN.defective) == 228


def test_train_and_test_squares_never_overlap() -> None:
    photograph = np.repeat(np.arange(512, dtype=np.uint16)[None], 512, 0)[..., None].repeat(3, 2)
    for seed in range(50):
        draw = functools.partial(square, photograph, size=224, rng=np.random.default_rng(seed))
        train, test = draw(split="train"), draw(split="test")
        assert train.shape == test.shape == (224, 224, 3)
        assert train.max() < 256 <= test.min()


@pytest.mark.parametrize("defect", rendering.SURFACE_DEFECTS)
def test_a_defect_is_all_that_changes(defect: str) -> None:
    photograph = np.random.default_rng(0).integers(80, 160, (96, 96, 3), np.uint8)
    bad, mask = rendering.draw_surface_defect(photograph, defect, 3)
    assert (bad.shape, bad.dtype, mask.shape, mask.dtype) == ((96, 96, 3), np.uint8, (96, 96), np.uint8)
    change = np.abs(bad.astype(float) - photograph).mean(-1)
    assert np.median(change[mask == 0]) <= 1
    assert change[mask == 1].mean() > 8
    again, _ = rendering.draw_surface_defect(photograph, defect, 3)
    assert np.array_equal(bad, again)


def test_a_grey_photograph_stays_grey() -> None:
    photograph = np.full((64, 64, 3), 120, np.uint8)
    bad, mask = rendering.draw_surface_defect(photograph, "rust", 0)
    assert mask.any()
    assert np.ptp(bad, axis=-1).max() == 0
    photograph[..., 0] = 140
    assert np.ptp(rendering.draw_surface_defect(photograph, "rust", 0)[0], axis=-1).max() > 40


def test_a_defect_of_structure_is_refused() -> None:
    with pytest.raises(InputError, match="unknown defect 'missing part': choose one of scratch, crack"):
        rendering.draw_surface_defect(np.zeros((8, 8, 3), np.uint8), "missing part", 0)


def test_needs_its_package_and_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--data_dir: dataset textures comes with scikit-image"):
        load_dataset("textures", tmp_path)
    monkeypatch.setattr(textures, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '.\[textures\]'"):
        load_dataset("textures")
