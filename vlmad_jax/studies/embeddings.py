"""What WinCLIP reads of every image, encoded once and kept on disk, for all runs that score with it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.attention import kernel
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.vit import layer_name
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.pipeline import Batch, batches
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.categories import CategoryEvaluator, Observe
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.methods import Scores
from vlmad_jax.methods.winclip import State, WinCLIP
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.windows import harmonic_aggregation
from vlmad_jax.training.array_store import ArrayStore


class Features(NamedTuple):
    """`winclip.Features`, and projected patches.

    Attributes:
      image: (B, 1, E).
      windows: (B, W, E) for each window size.
      patches: (B, P, D).
      plain: (B, P, E), the patches, projected.
      vv: (B, P, E), the projected patches of v-v attention.
    """

    image: jax.Array
    windows: tuple[jax.Array, ...]
    patches: jax.Array
    plain: jax.Array
    vv: jax.Array


# Images encoded at a time while the store is filled.
FILL_BATCH = 8


@dataclass(frozen=True)
class Encoder:
    """What is kept of an image.

    Attributes:
      winclip: its window sizes are all that any run asks for.
      vv_layers: the last layers with v-v attention, of the patches that go by that name.
    """

    winclip: WinCLIP
    vv_layers: int

    def encode(self, variables: dict[str, Any], images: jax.Array) -> dict[str, Any]:
        """Of images (B, S, S, 3), float32.

        "image" (B, E), "windows_2" (B, W, E) for each size, "patches" (B, P, D) as `WinCLIP.extract` gives
        them; "plain" (B, P, E), the same patches projected, and "vv" (B, P, E), of v-v attention.
        """
        found = self.winclip.extract(variables, images, patches=True)
        vision = self.winclip.clip.vision().bind(variables)
        tokens = vision.embed(images)
        hidden, _ = vision.transform(tokens)
        _, layers = vision.transform(
            tokens, class_only=True, dpam_layers=self.vv_layers, attention=kernel("vv")
        )
        last = layers[layer_name(self.winclip.clip.config.vision.layers)]
        windows = zip(self.winclip.window_sizes, found.windows, strict=True)
        return {
            "image": found.image[:, 0],
            **{f"windows_{size}": x for size, x in windows},
            "patches": found.patches,
            "plain": vision.project(hidden[:, 1:]),
            "vv": vision.project(last[:, 1:]),
        }


@dataclass(frozen=True)
class Embeddings:
    """The embeddings and masks of some images.

    Attributes:
      encoder: what encodes them.
      samples: the images.
      store: of each, what `Encoder.encode` gives, its mask, packed, and whether it could be read.
    """

    encoder: Encoder
    samples: tuple[Sample, ...]
    store: ArrayStore

    @classmethod
    def of(
        cls, encoder: Encoder, samples: Sequence[Sample], names: Sequence[str], folder: Path
    ) -> Embeddings:
        """Those in `folder`, which are made where they are missing by `fill`.

        Args:
          encoder: what encodes.
          samples: the images.
          names: what changes with any of them.
          folder: one for each backbone, setting and set of images is made in it.

        Raises:
          InputError: the folder cannot hold them.
        """
        winclip = encoder.winclip
        variables = {"params": winclip.clip.params["vision"]}
        image = jax.ShapeDtypeStruct((1, winclip.size, winclip.size, 3), np.uint8)
        shapes = jax.eval_shape(encoder.encode, variables, image)
        fields: dict[str, Any] = {name: (np.float32, x.shape[1:]) for name, x in shapes.items()}
        fields |= {"mask": (np.uint8, (-(-(winclip.size**2) // 8),)), "readable": (np.bool_, ())}
        key = [winclip.clip.fingerprint, winclip.setting, encoder.vv_layers, *names]
        store = ArrayStore(fields, len(samples), folder / cache_key(json.dumps(key)))
        try:
            store.create()
        except OSError as error:
            raise InputError(
                f"{store.directory}: cannot hold {store.nbytes / 1e9:.1f} GB of embeddings "
                f"({error.strerror}); give another --out"
            ) from error
        return cls(encoder, tuple(samples), store)

    def fill(self, workers: int) -> None:
        """Encodes the images that are not there yet, with a progress bar."""
        winclip = self.encoder.winclip
        missing = [number for number in range(len(self.samples)) if not self.store.contains(number)]
        if not missing:
            return
        encode = winclip.clip.compile("vision", self.encoder.encode)
        group = [self.samples[number] for number in missing]
        with tqdm(total=len(missing), desc="embeddings", unit=" images", dynamic_ncols=True) as bar:
            for batch in batches([group], winclip.size, FILL_BATCH, workers, with_masks=True):
                found = jax.device_get(encode(batch.image))
                for row in np.flatnonzero(batch.index >= 0):
                    item = {name: x[row] for name, x in found.items()}
                    item |= {"mask": np.packbits(batch.mask[row]), "readable": batch.readable[row]}
                    self.store.write(missing[batch.index[row]], item)
                    bar.update()

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        """Where each image stands, by its path."""
        return {sample.path: number for number, sample in enumerate(self.samples)}

    def features(self, samples: Sequence[Sample], sizes: Sequence[int]) -> Features:
        """What `WinCLIP.extract` gives of images, for windows of these sizes, and "plain" and "vv"."""
        rows = np.array([self.rows[sample.path] for sample in samples])
        arrays: dict[str, Any] = self.store.arrays
        return Features(
            arrays["image"][rows][:, None],
            tuple(arrays[f"windows_{size}"][rows] for size in sizes),
            *(arrays[name][rows] for name in ("patches", "plain", "vv")),
        )

    def batch(
        self, samples: Sequence[Sample], sizes: Sequence[int], start: int, size: int, group: int
    ) -> Batch:
        """A batch of `size` images from `start` on, padded with the last one; features for images."""
        size_s = self.encoder.winclip.size
        chosen = list(samples[start : start + size])
        index = np.full(size, -1, np.int32)
        index[: len(chosen)] = np.arange(start, start + len(chosen))
        chosen += chosen[-1:] * (size - len(chosen))
        rows = np.array([self.rows[sample.path] for sample in chosen])
        bits = np.unpackbits(self.store.arrays["mask"][rows], axis=1, count=size_s**2)
        readable = self.store.arrays["readable"][rows] & (index >= 0)
        features = self.features(chosen, sizes)
        return Batch(features, bits.reshape(size, size_s, size_s), index, readable, group)  # type: ignore[arg-type]


StateOf = Callable[[str], Any]
ScoreFeatures = Callable[[Any, Any], Scores]


@dataclass(frozen=True)
class FeatureModel:
    """A model that scores features, which were computed before, by `score_features(state, features)`."""

    clip: CLIP
    score_features: ScoreFeatures

    def score_with(self, variables: dict[str, Any], state: Any, features: Any) -> Scores:
        """Return the scores of a batch of features; the backbone has done its work."""
        del variables
        return self.score_features(state, features)


def feature_evaluator(
    scorer: Scorer,
    embeddings: Embeddings,
    sizes: Sequence[int],
    state_of: StateOf,
    dataset: DataSet,
    results: Results,
    observe: Observe,
) -> CategoryEvaluator:
    """Return an evaluator that reads stored embeddings.

    Args:
      scorer: of a `FeatureModel`.
      embeddings: of all images that are scored.
      sizes: of the windows whose embeddings are read.
      state_of: returns the state of a category.
      dataset: the data set.
      results: where the metrics are stored.
      observe: see `CategoryEvaluator`.
    """

    def read(groups: Sequence[Sequence[Sample]]) -> Iterator[Batch]:
        for number, group in enumerate(groups):
            for start in range(0, len(group), scorer.batch_size):
                yield embeddings.batch(group, sizes, start, scorer.batch_size, number)

    return CategoryEvaluator(scorer, state_of, read, dataset, results, observe=observe)


def plain_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """CLIP's own patch tokens, (B, rows, columns)."""
    return anomaly_probability(features.plain, text, winclip.temperature).reshape(-1, *winclip.grid)


def vv_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """Patch tokens of v-v attention, as AnomalyCLIP has them, (B, rows, columns)."""
    return anomaly_probability(features.vv, text, winclip.temperature).reshape(-1, *winclip.grid)


def window_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """WinCLIP's windows, the mean over their sizes, (B, rows, columns)."""
    maps = [
        harmonic_aggregation(anomaly_probability(x, text, winclip.temperature), windows, winclip.grid)
        for x, windows in zip(features.windows, winclip.windows, strict=True)
    ]
    return jnp.stack(maps).mean(axis=0)


CLASS_TOKEN = "class token"
MAPS: dict[str, Callable[[WinCLIP, Features, jax.Array], jax.Array]] = {
    "plain patches": plain_map,
    "v-v patches": vv_map,
    "windows": window_map,
}


@dataclass(frozen=True)
class FeatureSum:
    """Scores by the probability of "defective", the mean over kinds of features.

    Attributes:
      winclip: whose windows and words are used.
      kinds: some of `CLASS_TOKEN` and `MAPS`. The class token has no place: it adds the same to every pixel.
    """

    winclip: WinCLIP
    kinds: tuple[str, ...]

    def score_features(self, state: State, features: Features) -> Scores:
        """The image score is the mean of the class token's and of the highest of each map."""
        winclip, text = self.winclip, state.text
        images, maps = [], []
        if CLASS_TOKEN in self.kinds:
            image = anomaly_probability(features.image[:, 0], text, winclip.temperature)
            images.append(image)
            maps.append(jnp.broadcast_to(image[:, None, None], (len(image), *winclip.grid)))
        for name, make in MAPS.items():
            if name in self.kinds:
                maps.append(make(winclip, features, text))
                images.append(maps[-1].max(axis=(1, 2)))
        pixels = upsample(jnp.stack(maps).mean(axis=0), (winclip.size, winclip.size))
        return Scores(jnp.stack(images).mean(axis=0), pixels)
