"""The common parts of the papers that use reference images alone, in NumPy and float64."""

import functools

import jax
import numpy as np
from scipy.ndimage import gaussian_filter

from tests.golden import case, golden_clip
from vlmad_jax.methods.reference import ReferenceDetector

IMAGES = case("winclip").arrays["images_uint8"]  # (3, 64, 64, 3)
REFERENCES = case("winclip").arrays["reference_uint8"]  # (2, 64, 64, 3)
GOOD = np.concatenate([REFERENCES, REFERENCES[:, ::-1]])  # (4, 64, 64, 3), the last two upside down
LAYERS = (2, 3)  # of four: those at a half and at three quarters
GRID = (8, 8)
# Distances are of length 1 to 100, and exact to float32 rounding of features of length 10 to 1000.
CLOSE = {"rtol": 2e-5, "atol": 2e-5}


@functools.cache
def features() -> dict[str, np.ndarray]:
    """The features of `GOOD` and `IMAGES`, from the backbone.

    "good images" (4, E), "good" (4, P, 2 D), layer beside layer, "images" (3, E) and "patches" (3, P, 2 D).
    """
    clip, batch = golden_clip("winclip"), np.concatenate([GOOD, IMAGES])
    vision = clip.vision().bind({"params": clip.params["vision"]})
    _, hidden = jax.jit(lambda images: vision.transform(vision.embed(images)))(batch)
    patches = np.concatenate([hidden[f"layer{n:02d}"][:, 1:] for n in LAYERS], axis=-1).astype(np.float64)
    images = np.asarray(clip.encode_image(batch), np.float64)
    return {"good images": images[:4], "good": patches[:4], "images": images[4:], "patches": patches[4:]}


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances: (A, D), (B, D) -> (A, B)."""
    return np.array([np.sqrt(((x - b) ** 2).sum(axis=-1)) for x in a])


def pixel_map(patch_scores: np.ndarray, size: int) -> np.ndarray:
    """Interpolate bilinearly between patch centres, constant outside, and blur with sigma 4 at 224 pixels."""
    grid = patch_scores.reshape(GRID)
    rows, columns = ((np.arange(size) + 0.5) * side / size - 0.5 for side in GRID)
    across = np.stack([np.interp(columns, np.arange(GRID[1]), row) for row in grid])
    whole = np.stack([np.interp(rows, np.arange(GRID[0]), column) for column in across.T], axis=1)
    return gaussian_filter(whole, 4 * size / 224)


def states_have_one_shape(detector: ReferenceDetector) -> bool:
    """Return whether two categories with equally many references have float32 states of one shape."""
    shapes = [
        {name: (x.shape, str(x.dtype)) for name, x in detector.prepare(str(k), images)._asdict().items()}
        for k, images in enumerate((GOOD[:2], IMAGES[:2]))
    ]
    return shapes[0] == shapes[1] and all(dtype == "float32" for _, dtype in shapes[0].values())
