"""Batches of rendered pairs with captions, each a pure function of the seed and its number.

Rendering a pair costs more than training on it, so a pool of pairs is rendered once, as training first comes
to each, and kept on disk; every use shows it turned, mirrored, cropped, in other colours and with new
captions.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vlmad_jax import synthetic as rendering
from vlmad_jax.backbones.tokenizer import tokenize
from vlmad_jax.data.workers import stream
from vlmad_jax.pretraining.captions import caption, stand_in_name
from vlmad_jax.scoring.windows import sliding_windows
from vlmad_jax.training.array_store import ArrayStore

# Of inventions, which are drawn anew for every pair, there are as many as are rendered; of the others, fewer
# textures than objects, since they are learned much sooner.
INVENTIONS = 0.45
SHARES = {
    rendering.TRAIN_TEXTURES: 0.15,
    rendering.TRAIN_OBJECTS: 0.4,
    rendering.TRAIN_INVENTIONS: INVENTIONS,
}
# A quarter of the images are rendered larger and resized, as images of real cameras are.
RENDER_SCALES = (1.0, 1.0, 1.0, 1.5)
WINDOW_SIZES = {"small_window": 2, "large_window": 3}
# A window is called defective from this share of defective pixels on, and good only when it has none.
DEFECTIVE_WINDOW = 0.02
# Where a defect is, is kept as its share of the cells of this many a side: crops are of whole cells.
CELLS = 32
CROPPED = 0.5  # of all pairs
SMALLEST_CROP = 20  # cells
CAPTION_TOKENS = 24

Pair = dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """`size` rendered pairs of the training families, each rendered when first asked for.

    Attributes:
      directory: where they are kept, as arrays mapped into memory; a pool may be cut off and gone on with.
      size: how many there are.
      side: S, pixels.
      seed: they are a pure function of it.
      references: whether each has another good image of the same product, as a good sample.
      inventions: the share of pairs that show objects no one has made, 0 to 1.
    """

    directory: pathlib.Path
    size: int
    side: int
    seed: int
    references: bool = False
    inventions: float = INVENTIONS

    @functools.cached_property
    def store(self) -> ArrayStore:
        """Where the pairs are kept."""
        images = (np.uint8, (self.side, self.side, 3))
        share = (np.float32, (CELLS, CELLS))
        fields = {"good": images, "bad": images, "share": share, "names": (np.int32, (2,))}
        if self.references:
            fields["reference"] = images
        return ArrayStore(fields, self.size, self.directory)

    @property
    def shares(self) -> list[float]:
        """How much of the pool each group of families in `SHARES` makes."""
        *named, _ = SHARES.values()
        return [share * (1 - self.inventions) / (1 - INVENTIONS) for share in named] + [self.inventions]

    def __getitem__(self, index: int) -> Pair:
        """Pair `index`: good, bad (and reference) uint8 (S, S, 3), share float32 (CELLS, CELLS), names int32
        (2,)."""
        if not self.store.contains(index):
            self.store.write(index, self.render(index))
        return self.store.read(index)

    def render(self, index: int) -> Pair:
        """Renders pair `index`."""
        rng = np.random.default_rng([self.seed, index])
        families = list(SHARES)[rng.choice(len(SHARES), p=self.shares)]
        family = families[rng.integers(len(families))]
        defects = rendering.defects_of(family)
        defect = defects[rng.integers(len(defects))]
        size = round(self.side * RENDER_SCALES[rng.integers(len(RENDER_SCALES))])
        product = rendering.make_product(family, int(rng.integers(2**31)))
        good, bad, mask = rendering.render_pair(product, defect, int(rng.integers(2**31)), size)
        names = np.array(
            [rendering.TRAIN_FAMILIES.index(family), list(rendering.DEFECTS).index(defect)], np.int32
        )
        pair = {
            "good": resize(good, self.side),
            "bad": resize(bad, self.side),
            "share": cells(mask.astype(np.float32), CELLS),
            "names": names,
        }
        if self.references:
            sample = rendering.render_good(product, int(rng.integers(2**31)), size)
            pair["reference"] = resize(sample, self.side)
        return pair


@dataclass(frozen=True)
class CaptionedPairs:
    """An endless random-access source of pairs for `contrastive.make_loss`.

    Item i is a dict of
      good, bad: uint8 (S, S, 3), the same object without and with a defect;
      reference, if the pool has them: uint8 (S, S, 3), another good one of the same product;
      share: float32 (grid, grid), the defective share of each patch of the bad one;
      group: int, the number of its family;
      good_caption, bad_caption, normal_caption, anomalous_caption: int32 (24,), token ids: two that name the
        object for the contrast, two that ask for its state, which may call it by any name;
      small_window_*, large_window_*: for good (0) and bad (1): `patches` int32 (2, n), `label` and `weight`
        float32 (2,).
    """

    pool: Pool
    grid: int
    tokenizer: Any

    def __call__(self, index: int) -> Pair:
        """Item `index`."""
        rng = np.random.default_rng([self.pool.seed, 1, int(index)])
        pair = self.pool[int(index) % self.pool.size]
        family = rendering.TRAIN_FAMILIES[pair["names"][0]]
        defect = list(rendering.DEFECTS.values())[pair["names"][1]]
        turns, mirror, colours = int(rng.integers(4)), rng.integers(2), rng.permutation(3)
        rows, columns = draw_crop(rng, pair["share"])
        tones = draw_tones(rng)

        def turn(x: np.ndarray) -> np.ndarray:
            return np.rot90(x[:, ::-1] if mirror else x, turns)

        def shown(image: np.ndarray) -> np.ndarray:
            step = self.pool.side // CELLS
            part = image[rows.start * step : rows.stop * step, columns.start * step : columns.stop * step]
            # In the order of its axes: devices would otherwise be handed it a byte at a time.
            return np.ascontiguousarray(turn(tones[resize(part, self.pool.side)])[..., colours])

        share = turn(cells(pair["share"][rows, columns], self.grid))

        asked = stand_in_name(rng, family)
        captions = (
            caption(rng, family, None),
            caption(rng, family, defect),
            caption(rng, asked, None),
            caption(rng, asked, defect),
        )
        names = ("good_caption", "bad_caption", "normal_caption", "anomalous_caption")
        images = ("good", "bad", *(("reference",) if self.pool.references else ()))
        return {
            **{name: shown(pair[name]) for name in images},
            "share": share,
            "group": pair["names"][0],
            **dict(
                zip(names, tokenize(self.tokenizer, captions, CAPTION_TOKENS, CAPTION_TOKENS), strict=True)
            ),
            **draw_windows(rng, share),
        }


def draw_windows(rng: np.random.Generator, share: np.ndarray) -> Pair:
    """One window of each size in the good and in the bad image, the bad one's mostly on the defect.

    `share` (grid, grid) is the defective share of each patch.
    """
    drawn: Pair = {}
    for name, size in WINDOW_SIZES.items():
        windows = sliding_windows(share.shape, size)
        shares = share.ravel()[windows].mean(axis=1)  # (W,)
        defective = np.flatnonzero(shares >= DEFECTIVE_WINDOW)
        on_defect = len(defective) > 0 and rng.random() < 0.7
        bad = rng.choice(defective) if on_defect else rng.integers(len(windows))
        drawn[f"{name}_patches"] = windows[[rng.integers(len(windows)), bad]].astype(np.int32)
        drawn[f"{name}_label"] = np.array([0, shares[bad] >= DEFECTIVE_WINDOW], np.float32)
        drawn[f"{name}_weight"] = np.array([1, not 0 < shares[bad] < DEFECTIVE_WINDOW], np.float32)
    return drawn


def draw_crop(rng: np.random.Generator, share: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of cells to show: all, or a square that keeps most of the defect, (CELLS, CELLS)."""
    if rng.random() < CROPPED:
        size = int(rng.integers(SMALLEST_CROP, CELLS))
        for top, left in rng.integers(0, CELLS - size + 1, (4, 2)).tolist():
            rows, columns = slice(top, top + size), slice(left, left + size)
            if share[rows, columns].sum() > share.sum() / 2:
                return rows, columns
    return slice(0, CELLS), slice(0, CELLS)


def draw_tones(rng: np.random.Generator) -> np.ndarray:
    """What each level becomes under another exposure: uint8 (256,)."""
    gamma, gain = np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(0.8, 1.15)
    return np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)


def cells(share: np.ndarray, count: int) -> np.ndarray:
    """Means over `count` x `count` cells of a square: float32 (S, S) -> (count, count)."""
    return np.asarray(Image.fromarray(share).resize((count, count), Image.Resampling.BOX))


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 (S, S, 3) -> (side, side, 3), bicubic."""
    if image.shape[0] == side:
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def batches(
    pairs: CaptionedPairs, first: int, last: int, size: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Batches `first` to `last` - 1 of `size` pairs, rendered ahead by worker processes."""
    import grain

    # Rendering multiplies small matrices; threads for them only take turns on the cores of other workers.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    rendered = grain.MapDataset.range(first * size, last * size).map(pairs).batch(size)
    with contextlib.closing(stream(rendered, workers)) as read:
        yield from read
