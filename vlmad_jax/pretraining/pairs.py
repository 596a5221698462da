"""Batches of pairs with captions, each a function of the seed and its number alone.

Rendering a pair takes longer than training on it. A pool of pairs is therefore made once, each pair on its
first use, and stored on disk. Every use has another view of a pair and new captions.
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
from vlmad_jax.pretraining.photographed_pairs import draw_pair
from vlmad_jax.pretraining.views import CELLS, cell_means, draw_view, show, show_share
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
# The names of families by their numbers. The last stands for whatever is in a photograph.
FAMILIES = (*rendering.TRAIN_FAMILIES, "sample")
PHOTOGRAPHED = len(FAMILIES) - 1
# A quarter of the images are rendered larger and then resized, like photographs.
RENDER_SCALES = (1.0, 1.0, 1.0, 1.5)
WINDOW_SIZES = {"small_window": 2, "large_window": 3}
# A window with at least this share of anomalous pixels is anomalous, and one with none is normal.
ANOMALOUS_WINDOW_SHARE = 0.02
CAPTION_TOKENS = 24

Pair = dict[str, Any]


@dataclass(frozen=True)
class Pool:
    """A pool of rendered pairs of the training families and of pairs cut from photographs.

    Attributes:
      directory: The folder of the memory-mapped arrays, which a resumed run continues to fill.
      size: The number of pairs.
      side: S, in pixels.
      seed: The seed of all pairs.
      second_normal_image: Whether pairs have a second normal image of their product, as a reference.
      invented_share: The share of rendered pairs that show invented objects, 0 to 1.
      photographs: The paths of the photographs in each folder.
      photographed_share: The share of pairs that are cut from photographs, 0 to 1.
    """

    directory: pathlib.Path
    size: int
    side: int
    seed: int
    second_normal_image: bool = False
    invented_share: float = INVENTED_SHARE
    photographs: tuple[tuple[str, ...], ...] = ()
    photographed_share: float = 0.0

    @functools.cached_property
    def store(self) -> ArrayStore:
        """The store of the pairs."""
        image = (np.uint8, (self.side, self.side, 3))
        fields: dict[str, Any] = dict.fromkeys(self.kinds, image)
        fields |= {"share": (np.float32, (CELLS, CELLS)), "names": (np.int32, (2,))}
        return ArrayStore(fields, self.size, self.directory)

    @property
    def shares(self) -> list[float]:
        """The share of the rendered pairs for each group of families in `SHARES`."""
        *named, _ = SHARES.values()
        return [share * (1 - self.invented_share) / (1 - INVENTED_SHARE) for share in named] + [
            self.invented_share
        ]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the images of a pair."""
        return ("normal", "anomalous", *(("reference",) if self.second_normal_image else ()))

    def __getitem__(self, index: int) -> Pair:
        """Return pair `index` without its images, after rendering it if necessary.

        Returns:
          share float32 (CELLS, CELLS), and names int32 (2,), the numbers of the family and the defect.
        """
        if not self.store.contains(index):
            self._add(index)
        return {name: np.array(self.store.arrays[name][index]) for name in ("share", "names")}

    def fill(self, workers: int) -> None:
        """Render the missing pairs in worker processes (0: in this one), with a progress bar."""
        import grain

        self.store.create()
        missing = self.store.missing()
        if not missing:
            return
        rendered = grain.MapDataset.source(missing).map(self._add)
        with (
            tqdm(total=len(missing), desc="drawing pairs", unit=" pairs", dynamic_ncols=True) as bar,
            contextlib.closing(stream(rendered, workers)) as indices,
        ):
            for _ in indices:
                bar.update()

    def _add(self, index: int) -> int:
        self.store.write(index, self.render(index))
        return index

    def render(self, index: int) -> Pair:
        """Render pair `index`, or cut it from a photograph."""
        if np.random.default_rng([self.seed, 3, index]).random() < self.photographed_share:
            return self._cut(np.random.default_rng([self.seed, 4, index]))
        rng = np.random.default_rng([self.seed, index])
        families = list(SHARES)[rng.choice(len(SHARES), p=self.shares)]
        family = families[rng.integers(len(families))]
        defects = rendering.defects_of(family)
        defect = defects[rng.integers(len(defects))]
        size = round(self.side * RENDER_SCALES[rng.integers(len(RENDER_SCALES))])
        product = rendering.make_product(family, int(rng.integers(2**31)))
        normal, anomalous, mask = rendering.render_pair(product, defect, int(rng.integers(2**31)), size)
        pair = {
            "normal": resize(normal, self.side),
            "anomalous": resize(anomalous, self.side),
            "share": cell_means(mask.astype(np.float32), CELLS),
            "names": numbers(family, defect),
        }
        if self.second_normal_image:
            reference = rendering.render_good(product, int(rng.integers(2**31)), size)
            pair["reference"] = resize(reference, self.side)
        return pair

    def _cut(self, rng: np.random.Generator) -> Pair:
        cut = draw_pair(rng, self.photographs, self.side, self.second_normal_image)
        return {
            **{kind: getattr(cut, kind) for kind in self.kinds},
            "share": cell_means(cut.mask.astype(np.float32), CELLS),
            "names": numbers(FAMILIES[PHOTOGRAPHED], cut.defect),
        }


def numbers(family: str, defect: str) -> np.ndarray:
    """Return the numbers of a family and of a defect, int32 (2,)."""
    return np.array([FAMILIES.index(family), list(rendering.DEFECTS).index(defect)], np.int32)


@dataclass(frozen=True)
class CaptionedPairs:
    """An endless random-access source of views of pairs with captions.

    Item i is a dict of
      row: The number of the pair in the pool, int.
      view: A `View` of its images.
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
        row = int(index) % self.pool.size
        pair = self.pool[row]
        family = FAMILIES[pair["names"][0]]
        defect = list(rendering.DEFECTS.values())[pair["names"][1]]
        view = draw_view(rng, pair["share"])
        share = show_share(pair["share"], view, self.grid)
        name = draw_name(rng, family)
        captions = (
            caption(rng, family, None),
            caption(rng, family, defect),
            caption(rng, name, None),
            caption(rng, name, defect),
        )
        keys = [f"{kind}_{use}_caption" for use in ("contrast", "state") for kind in ("normal", "anomalous")]
        return {
            "row": row,
            "view": view,
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


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image by bicubic interpolation, uint8 (S, S, 3) -> (side, side, 3)."""
    if image.shape[0] == side:
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def batches(
    pairs: CaptionedPairs, first: int, last: int, size: int, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield batches `first` to `last` - 1 of `size` pairs, drawn ahead by worker processes.

    In place of `row` and `view`, a batch has the views of all `Pool.kinds` of images, uint8 (B, S, S, 3).
    """
    import grain

    drawn = grain.MapDataset.range(first * size, last * size).map(pairs).batch(size)
    images = pairs.pool.store.on_device(pairs.pool.kinds)
    with contextlib.closing(stream(drawn, workers)) as read:
        for batch in read:
            rows, view = batch.pop("row"), batch.pop("view")
            yield {**batch, **{kind: show(x[rows], view) for kind, x in images.items()}}
