"""A small detector of a real method, fitted once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import save
from vlmad_jax.inspection import FitConfig, fit


def part(seed: int, spot: bool = False, size: tuple[int, int] = (70, 50)) -> Image.Image:
    """An image of a striped plate, with a spot of coloured noise or without."""
    width, height = size
    rng = np.random.default_rng(seed)
    stripes = 100 + 30 * np.sin(np.arange(width) / 3 + rng.uniform(0, 0.3))
    pixels = np.repeat(stripes[None], height, axis=0) + rng.normal(0, 2, (height, width))
    pixels = np.clip(np.stack([pixels] * 3, axis=-1), 0, 255)
    if spot:
        rows, columns = slice(height // 4, height // 2), slice(width // 4, width // 2)
        pixels[rows, columns] = rng.choice([0, 255], pixels[rows, columns].shape)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four good parts."""
    folder = tmp_path_factory.mktemp("good")
    for seed in range(4):
        save(part(seed), folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="session")
def config(good: Path, weights: Path) -> FitConfig:
    return FitConfig("padim", "plate", str(good), str(weights), augmentations=2, batch_size=2)


@pytest.fixture(scope="session")
def saved(config: FitConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PaDiM, which compiles in a moment, fitted on these and saved."""
    out = tmp_path_factory.mktemp("saved") / "plate.vlmad"
    fit(config, out)
    return out
