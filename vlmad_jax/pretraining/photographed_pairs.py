"""Pairs cut from photographs: a normal image, the same image with a drawn defect, and a second normal image.

Rendered objects have simple shapes and materials; photographs have what cameras see. The second normal image
shows another place of the photograph where that looks alike, as on a surface, or else almost the same place,
as if the same thing had been photographed again. Half of the defects are drawn like those of rendered
surfaces, the others are parts of the image pasted elsewhere (Li et al. 2021, "CutPaste").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining.photographs import (
    Square,
    draw_square,
    moved,
    read_photograph,
    recoloured,
    widening,
)
from vlmad_jax.synthetic.pasting import is_grey, paste

# The kinds of `pasting` with the names of the defects that they resemble.
PASTED = {"patch": "misplaced part", "scar": "contamination", "blend": "discoloration"}
# Two photographs of the same thing: the largest change of place, as a share of the side, of the angle in
# degrees and of the size.
LARGEST_SHIFT, LARGEST_TURN, LARGEST_ZOOM = 0.08, 4.0, 0.04
# The largest change of exposure, and the largest sensor noise in levels.
EXPOSURE, NOISE = 0.05, 4.0
# Another place is at least NEAREST sides away. It looks alike if 95% of the ALIKE_CELLS x ALIKE_CELLS cells
# of the first place have a cell there whose mean colour and contrast differ by at most MOST_DIFFERENT levels.
ATTEMPTS, NEAREST, ALIKE_CELLS, MOST_DIFFERENT = 8, 0.5, 8, 14.0


@dataclass(frozen=True)
class PhotographedPair:
    """Images uint8 (S, S, 3), the mask of the defect uint8 (S, S), and the name of the defect.

    The anomalous image is the normal one with the defect and other noise. `reference` is the second normal
    image, or None.
    """

    normal: np.ndarray
    anomalous: np.ndarray
    reference: np.ndarray | None
    mask: np.ndarray
    defect: str


def draw_pair(
    rng: np.random.Generator, groups: Sequence[Sequence[str]], side: int, second_normal_image: bool = True
) -> PhotographedPair:
    """Draw a pair of `side` pixels from a photograph; every group of photographs is equally likely.

    The rest of the pair does not depend on whether it has a second normal image.

    Raises:
      InputError: The photograph does not decode.
    """
    group = groups[int(rng.integers(len(groups)))]
    photograph = read_photograph(group[int(rng.integers(len(group)))])
    square = draw_square(rng, photograph.size)
    colours = int(rng.integers(2**31))

    def shown(square: Square) -> np.ndarray:
        return recoloured(np.random.default_rng(colours), square.cut(photograph, side))

    normal = shown(square)
    anomalous, mask, defect = with_defect(rng, normal)
    exposure, noise = rng.uniform(1 - EXPOSURE, 1 + EXPOSURE, 2), rng.uniform(0, NOISE)
    first, second = (recorded(rng, image, exposure[0], noise) for image in (normal, anomalous))
    reference = None
    if second_normal_image:
        reference = alike_elsewhere(rng, photograph.size, square, normal, shown)
        if reference is None:
            reference = shown(again(rng, photograph.size, square))
        reference = recorded(rng, reference, exposure[1], noise)
    return PhotographedPair(first, second, reference, mask, defect)


def again(rng: np.random.Generator, size: tuple[int, int], square: Square) -> Square:
    """Return almost the same square, inside a photograph of (width, height) pixels."""
    turn, zoom = rng.uniform(-LARGEST_TURN, LARGEST_TURN), rng.uniform(1 - LARGEST_ZOOM, 1 + LARGEST_ZOOM)
    angle = square.angle + float(turn)
    side = min(square.side * float(zoom), min(size) / widening(angle))
    near = replace(square, side=side, angle=angle)
    shift = rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, 2) * square.side
    x, y = (
        float(np.clip(start + step, near.reach, max(near.reach, n - near.reach)))
        for start, step, n in zip((square.x, square.y), shift, size, strict=True)
    )
    return replace(near, x=x, y=y)


def alike_elsewhere(
    rng: np.random.Generator,
    size: tuple[int, int],
    square: Square,
    normal: np.ndarray,
    shown: Callable[[Square], np.ndarray],
) -> np.ndarray | None:
    """Return the image of another place where that looks like `normal`, or None."""
    wanted = cells(normal)
    for _ in range(ATTEMPTS):
        there = moved(rng, size, square)
        if max(abs(there.x - square.x), abs(there.y - square.y)) < NEAREST * square.side:
            continue
        image = shown(there)
        distances = np.abs(wanted[:, None] - cells(image)[None]).max(-1).min(1)  # (C, C) cells -> (C,)
        if np.quantile(distances, 0.95) <= MOST_DIFFERENT:
            return image
    return None


def cells(image: np.ndarray) -> np.ndarray:
    """Return the mean colour and the contrast of each cell: uint8 (S, S, 3) -> float32 (C, 4)."""
    size = len(image) // ALIKE_CELLS
    whole = image[: size * ALIKE_CELLS, : size * ALIKE_CELLS].astype(np.float32)
    split = whole.reshape(ALIKE_CELLS, size, ALIKE_CELLS, size, 3)
    means, contrast = split.mean((1, 3)), split.mean(-1).std((1, 3))
    return np.concatenate([means, contrast[..., None]], axis=-1).reshape(-1, 4)


def with_defect(rng: np.random.Generator, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Return an image with a drawn or a pasted defect, the mask uint8 (S, S), and the name of the defect."""
    if rng.random() < 0.5:
        name = rendering.SURFACE_DEFECTS[int(rng.integers(len(rendering.SURFACE_DEFECTS)))]
        return *rendering.draw_surface_defect(normal, name, int(rng.integers(2**31))), name
    kind = list(PASTED)[int(rng.integers(len(PASTED)))]
    return *paste(rng, normal, normal, kind), PASTED[kind]


def recorded(rng: np.random.Generator, image: np.ndarray, exposure: float, noise: float) -> np.ndarray:
    """Return an image with another exposure and sensor noise, uint8 (S, S, 3); a grey image stays grey."""
    levels = rng.standard_normal((*image.shape[:2], 1 if is_grey(image) else 3), dtype=np.float32)
    return np.clip(image * np.float32(exposure) + np.float32(noise) * levels + 0.5, 0, 255).astype(np.uint8)
