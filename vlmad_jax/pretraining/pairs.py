"""Batches of rendered pairs with captions, each a function of the seed and its number alone.

Rendering a pair takes longer than training on it. A pool of pairs is therefore rendered once, each pair on
its first use, and stored on disk. Every use rotates, mirrors, crops and recolours a pair anew and draws new
captions.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax import synthetic as rendering
from vlmad_jax.backbones.tokenizer import tokenize
from vlmad_jax.data.workers import stream
from vlmad_jax.pretraining.captions import caption, draw_name
from vlmad_jax.scoring.windows import sliding_windows
from vlmad_jax.training.array_store import ArrayStore

# The share of pairs from each group of families. Every pair of an invented object shows another object.
# Textures have a smaller share than objects because they are learned much faster.
INVENTED_SHARE = 0.45
SHARES = {
    rendering.TRAIN_TEXTURES: 0.15,
    rendering.TRAIN_OBJECTS: 0.4,
    rendering.TRAIN_INVENTIONS: INVENTED_SHARE,
}
# A quarter of the images are rendered larger and then resized, like photographs.
RENDER_SCALES = (1.0, 1.0, 1.0, 1.5)
WINDOW_SIZES = {"small_window": 2, "large_window": 3}
# A window with at least this share of anomalous pixels is anomalous, and one with none is normal.
ANOMALOUS_WINDOW_SHARE = 0.02
# Masks are stored as the anomalous share of CELLS x CELLS cells, and crops are of whole cells.
CELLS = 32
CROP_PROBABILITY = 0.5
SMALLEST_CROP = 20  # in cells
CAPTION_TOKENS = 24

Pair = dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """A pool of rendered pairs of the training families, each rendered on its first use.

    Attributes:
      directory: The folder of the memory-mapped arrays, which a resumed run continues to fill.
      size: The number of pairs.
      side: S, in pixels.
      seed: The seed of all pairs.
      second_normal_image: Whether pairs have a second normal image of their product, as a reference.
      invented_share: The share of pairs that show invented objects, 0 to 1.
    """

    directory: pathlib.Path
    size: int
    side: int
    seed: int
    second_normal_image: bool = False
    invented_share: float = INVENTED_SHARE

    @functools.cached_property
    def store(self) -> ArrayStore:
        """The store of the pairs."""
        images = (np.uint8, (self.side, self.side, 3))
        share = (np.float32, (CELLS, CELLS))
        fields = {"normal": images, "anomalous": images, "share": share, "names": (np.int32, (2,))}
        if self.second_normal_image:
            fields["reference"] = images
        return ArrayStore(fields, self.size, self.directory)

    @property
    def shares(self) -> list[float]:
        """The share of the pool for each group of families in `SHARES`."""
        *named, _ = SHARES.values()
        return [share * (1 - self.invented_share) / (1 - INVENTED_SHARE) for share in named] + [
            self.invented_share
        ]

    def __getitem__(self, index: int) -> Pair:
        """Return pair `index`, after rendering it if necessary.

        Returns:
          normal and anomalous (and reference) uint8 (S, S, 3), share float32 (CELLS, CELLS), and names
          int32 (2,), the numbers of the family and the defect.
        """
        if not self.store.contains(index):
            self._add(index)
        return self.store.read(index)

    def fill(self, workers: int) -> None:
        """Render the missing pairs in worker processes (0: in this one), with a progress bar."""
        import grain

        self.store.create()
        missing = self.store.missing()
        if not missing:
            return
        rendered = grain.MapDataset.source(missing).map(self._add)
        with (
            tqdm(total=len(missing), desc="rendering", unit=" pairs", dynamic_ncols=True) as bar,
            contextlib.closing(stream(rendered, workers)) as indices,
        ):
            for _ in indices:
                bar.update()

    def _add(self, index: int) -> int:
        self.store.write(index, self.render(index))
        return index

    def render(self, index: int) -> Pair:
        """Render pair `index`."""
        rng = np.random.default_rng([self.seed, index])
        families = list(SHARES)[rng.choice(len(SHARES), p=self.shares)]
        family = families[rng.integers(len(families))]
        defects = rendering.defects_of(family)
        defect = defects[rng.integers(len(defects))]
        size = round(self.side * RENDER_SCALES[rng.integers(len(RENDER_SCALES))])
        product = rendering.make_product(family, int(rng.integers(2**31)))
        normal, anomalous, mask = rendering.render_pair(product, defect, int(rng.integers(2**31)), size)
        names = np.array(
            [rendering.TRAIN_FAMILIES.index(family), list(rendering.DEFECTS).index(defect)], np.int32
        )
        pair = {
            "normal": resize(normal, self.side),
            "anomalous": resize(anomalous, self.side),
            "share": cell_means(mask.astype(np.float32), CELLS),
            "names": names,
        }
        if self.second_normal_image:
            reference = rendering.render_good(product, int(rng.integers(2**31)), size)
            pair["reference"] = resize(reference, self.side)
        return pair


@dataclass(frozen=True)
class CaptionedPairs:
    """An endless random-access source of pairs for `contrastive.make_loss`.

    Item i is a dict of
      normal, anomalous: The same object without and with a defect, uint8 (S, S, 3).
      reference: A second normal image of the product, if the pool has them, uint8 (S, S, 3).
      share: The anomalous share of each patch of the anomalous image, float32 (grid, grid).
      group: The number of the family, int.
      normal_contrast_caption, anomalous_contrast_caption: Token ids of captions with the object's name,
        int32 (24,).
      normal_state_caption, anomalous_state_caption: Token ids of captions with a name from `draw_name`,
        int32 (24,).
      small_window_*, large_window_*: Of a window of the normal image (0) and of the anomalous one (1),
        `patches` int32 (2, n), `label` and `weight` float32 (2,).
    """

    pool: Pool
    grid: int
    tokenizer: Any

    def __call__(self, index: int) -> Pair:
        """Return item `index`."""
        rng = np.random.default_rng([self.pool.seed, 1, int(index)])
        pair = self.pool[int(index) % self.pool.size]
        family = rendering.TRAIN_FAMILIES[pair["names"][0]]
        defect = list(rendering.DEFECTS.values())[pair["names"][1]]
        quarters, mirror, channels = int(rng.integers(4)), rng.integers(2), rng.permutation(3)
        rows, columns = draw_crop(rng, pair["share"])
        tones = draw_tones(rng)

        def rotate(x: np.ndarray) -> np.ndarray:
            return np.rot90(x[:, ::-1] if mirror else x, quarters)

        def augment(image: np.ndarray) -> np.ndarray:
            step = self.pool.side // CELLS
            part = image[rows.start * step : rows.stop * step, columns.start * step : columns.stop * step]
            # A contiguous copy: the transfer of any other layout to a device is slow.
            return np.ascontiguousarray(rotate(tones[resize(part, self.pool.side)])[..., channels])

        share = rotate(cell_means(pair["share"][rows, columns], self.grid))

        name = draw_name(rng, family)
        captions = (
            caption(rng, family, None),
            caption(rng, family, defect),
            caption(rng, name, None),
            caption(rng, name, defect),
        )
        keys = [f"{kind}_{use}_caption" for use in ("contrast", "state") for kind in ("normal", "anomalous")]
        images = ("normal", "anomalous", *(("reference",) if self.pool.second_normal_image else ()))
        return {
            **{kind: augment(pair[kind]) for kind in images},
            "share": share,
            "group": pair["names"][0],
            **dict(
                zip(keys, tokenize(self.tokenizer, captions, CAPTION_TOKENS, CAPTION_TOKENS), strict=True)
            ),
            **draw_windows(rng, share),
        }


def draw_windows(rng: np.random.Generator, share: np.ndarray) -> Pair:
    """Draw a window of each size in the normal and in the anomalous image, the latter mostly on the defect.

    `share` (grid, grid) is the anomalous share of each patch.
    """
    drawn: Pair = {}
    for name, size in WINDOW_SIZES.items():
        windows = sliding_windows(share.shape, size)
        shares = share.ravel()[windows].mean(axis=1)  # (W,)
        candidates = np.flatnonzero(shares >= ANOMALOUS_WINDOW_SHARE)
        on_defect = len(candidates) > 0 and rng.random() < 0.7
        chosen = rng.choice(candidates) if on_defect else rng.integers(len(windows))
        drawn[f"{name}_patches"] = windows[[rng.integers(len(windows)), chosen]].astype(np.int32)
        drawn[f"{name}_label"] = np.array([0, shares[chosen] >= ANOMALOUS_WINDOW_SHARE], np.float32)
        drawn[f"{name}_weight"] = np.array([1, not 0 < shares[chosen] < ANOMALOUS_WINDOW_SHARE], np.float32)
    return drawn


def draw_crop(rng: np.random.Generator, share: np.ndarray) -> tuple[slice, slice]:
    """Draw rows and columns of cells: all, or a square with most of the defect in `share` (CELLS, CELLS)."""
    if rng.random() < CROP_PROBABILITY:
        size = int(rng.integers(SMALLEST_CROP, CELLS))
        for top, left in rng.integers(0, CELLS - size + 1, (4, 2)).tolist():
            rows, columns = slice(top, top + size), slice(left, left + size)
            if share[rows, columns].sum() > share.sum() / 2:
                return rows, columns
    return slice(0, CELLS), slice(0, CELLS)


def draw_tones(rng: np.random.Generator) -> np.ndarray:
    """Draw a tone curve of another exposure: level -> level, uint8 (256,)."""
    gamma, gain = np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(0.8, 1.15)
    return np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)


def cell_means(share: np.ndarray, count: int) -> np.ndarray:
    """Return the means over `count` x `count` cells: float32 (S, S) -> (count, count)."""
    return np.asarray(Image.fromarray(share).resize((count, count), Image.Resampling.BOX))


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image by bicubic interpolation, uint8 (S, S, 3) -> (side, side, 3)."""
    if image.shape[0] == side:
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def batches(
    pairs: CaptionedPairs, first: int, last: int, size: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield batches `first` to `last` - 1 of `size` pairs, rendered ahead by worker processes."""
    import grain

    rendered = grain.MapDataset.range(first * size, last * size).map(pairs).batch(size)
    with contextlib.closing(stream(rendered, workers)) as read:
        yield from read
