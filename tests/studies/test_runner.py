"""The runner: window sizes, and the choice of normal images."""

import dataclasses
from pathlib import Path

import pytest

from vlmad_jax import load_clip
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError
from vlmad_jax.studies.ablations import compared_sizes
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.runner import Runner

pytestmark = pytest.mark.usefixtures("evaluating")


def with_images_of(clip: CLIP, size: int) -> CLIP:
    vision = dataclasses.replace(clip.config.vision, image_size=size)
    return dataclasses.replace(clip, config=dataclasses.replace(clip.config, vision=vision))


def test_windows_fit_the_grid(weights: Path, tmp_path: Path) -> None:
    clip = load_clip(weights)
    patch = clip.config.vision.patch_size
    runner = Runner(PaperConfig("small", "folder"), tmp_path)
    vars(runner)["backbone"] = with_images_of(clip, 3 * patch)
    assert compared_sizes(runner) == {"1": (1,), "2": (2,), "3": (3,), "2 and 3": (2, 3), "all": (1, 2, 3)}
    runner = Runner(PaperConfig("small", "folder"), tmp_path)
    vars(runner)["backbone"] = with_images_of(clip, 2 * patch)
    with pytest.raises(InputError, match="--weights=small: windows of 3 do not fit its grid of 2 x 2 patch"):
        compared_sizes(runner)


def test_too_few_normal_images_for_a_draw_are_all_taken(folder: Path, weights: Path, tmp_path: Path) -> None:
    for most, has_references in ((5, True), (6, False)):
        config = PaperConfig(str(weights), "folder", str(folder), shots=(1, most), seeds=(0, 1))
        runner = Runner(config, tmp_path / "out")
        assert runner.has_references is has_references
        assert len(runner.normal_images("bottle")) == 5
