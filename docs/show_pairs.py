"""Show pairs that `experiments.pretrain --photographed_pairs` would train on.

    python docs/show_pairs.py photographs/train/surfaces --out=pairs.jpg

Three pairs stand side by side. Each is a normal image, the same image with a defect, the mask of the defect,
and a second normal image.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from vlmad_jax.pretraining.photographed_pairs import PhotographedPair, draw_pair
from vlmad_jax.pretraining.photographs import photographs_in

GAP = 4  # white pixels between images


def strip(pair: PhotographedPair) -> np.ndarray:
    """Return the images of a pair side by side, uint8 (S + GAP, 4 (S + GAP), 3)."""
    mask = np.repeat(255 * pair.mask[..., None], 3, axis=-1)
    images = (pair.normal, pair.anomalous, mask, pair.reference)
    return np.concatenate(
        [np.pad(image, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for image in images], axis=1
    )


def main() -> None:
    """Write the pairs to one image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--out", type=Path, default="pairs.jpg")
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--side", type=int, default=96, help="of an image, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    groups = photographs_in(options.folders)
    pairs = [
        draw_pair(np.random.default_rng([options.seed, n]), groups, options.side)
        for n in range(3 * options.rows)
    ]
    rows = [
        np.concatenate([strip(pair) for pair in pairs[n :: options.rows]], axis=1)
        for n in range(options.rows)
    ]
    Image.fromarray(np.concatenate(rows)).save(options.out, quality=85)


if __name__ == "__main__":
    main()
