"""Embeddings of all images, computed once, stored on disk, and scored in place of the images."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.pipeline import Batch, batches
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.evaluate import CategoryEvaluator, Observe
from vlmad_jax.evaluation.keys import resizing_key
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.methods import Scores
from vlmad_jax.methods.anomalyclip import two_streams
from vlmad_jax.methods.winclip import State, WinCLIP
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.windows import harmonic_aggregation
from vlmad_jax.training.array_store import ArrayStore


class Features(NamedTuple):
    """The features of `winclip.Features`, and projected patches.

    Attributes:
      image: (B, 1, E).
      windows: (B, W, E) for each window size.
      patches: (B, P, D).
      plain: The projected patches, (B, P, E).
      vv: The projected patches of v-v attention, (B, P, E).
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
    """Computes the embeddings of images.

    Attributes:
      winclip: WinCLIP with all window sizes that any run uses.
      vv_layers: The number of last layers with v-v attention.
    """

    winclip: WinCLIP
    vv_layers: int

    def encode(self, variables: dict[str, Any], images: jax.Array) -> dict[str, Any]:
        """Encode images (B, S, S, 3), float32.

        Returns:
          "image" (B, E), "windows_2" (B, W, E) for each size, and "patches" (B, P, D) of `WinCLIP.extract`;
          "plain" (B, P, E), the projected patches; "vv" (B, P, E), the projected patches of v-v attention.
        """
        found = self.winclip.extract(variables, images, patches=True)
        vision = self.winclip.clip.vision().bind(variables)
        tokens = vision.embed(images)
        hidden, _ = vision.transform(tokens)
        _, second = two_streams(vision, tokens, self.vv_layers, "vv")
        windows = zip(self.winclip.window_sizes, found.windows, strict=True)
        return {
            "image": found.image[:, 0],
            **{f"windows_{size}": x for size, x in windows},
            "patches": found.patches,
            "plain": vision.project(hidden[:, 1:]),
            "vv": vision.project(second[-1][:, 1:]),
        }


@dataclass(frozen=True)
class Embeddings:
    """The stored embeddings and masks of images.

    Attributes:
      encoder: The encoder.
      samples: The images.
      store: For each image, the arrays of `Encoder.encode`, its mask as bits, and whether it is readable.
    """

    encoder: Encoder
    samples: tuple[Sample, ...]
    store: ArrayStore

    @classmethod
    def create(
        cls, encoder: Encoder, samples: Sequence[Sample], names: Sequence[str], folder: Path
    ) -> Embeddings:
        """Open the store of these images, or create it. `fill` computes what is missing.

        Args:
          encoder: The encoder.
          samples: The images.
          names: Texts that change when any of the images changes.
          folder: The parent folder of stores; each backbone, setting and set of images has its own store.

        Raises:
          InputError: The folder cannot hold the store.
        """
        winclip = encoder.winclip
        variables = {"params": winclip.clip.params["vision"]}
        image = jax.ShapeDtypeStruct((1, *winclip.size, 3), np.uint8)
        shapes = jax.eval_shape(encoder.encode, variables, image)
        fields: dict[str, Any] = {name: (np.float32, x.shape[1:]) for name, x in shapes.items()}
        fields |= {"mask": (np.uint8, (-(-math.prod(winclip.size) // 8),)), "readable": (np.bool_, ())}
        how = resizing_key(Resizing.to(winclip.size, winclip.clip.resample))
        key = [winclip.clip.fingerprint, winclip.setting, encoder.vv_layers, *names, *how]
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
        """Encode the images that are missing, with a progress bar."""
        winclip = self.encoder.winclip
        missing = [number for number in range(len(self.samples)) if not self.store.contains(number)]
        if not missing:
            return
        encode = winclip.clip.compile("vision", self.encoder.encode)
        group = [self.samples[number] for number in missing]
        with tqdm(total=len(missing), desc="embeddings", unit=" images", dynamic_ncols=True) as bar:
            how = Resizing.to(winclip.size, winclip.clip.resample)
            for batch in batches([group], how, FILL_BATCH, workers, with_masks=True):
                found = jax.device_get(encode(batch.image))
                for row in np.flatnonzero(batch.index >= 0):
                    item = {name: x[row] for name, x in found.items()}
                    item |= {"mask": np.packbits(batch.mask[row]), "readable": batch.readable[row]}
                    self.store.write(missing[batch.index[row]], item)
                    bar.update()

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        """The row of each image in the store, by its path."""
        return {sample.path: number for number, sample in enumerate(self.samples)}

    def features(self, samples: Sequence[Sample], sizes: Sequence[int]) -> Features:
        """Return the features of images, for windows of these sizes."""
        rows = np.array([self.rows[sample.path] for sample in samples])
        arrays: dict[str, Any] = self.store.arrays
        return Features(
            arrays["image"][rows][:, None],
            tuple(arrays[f"windows_{size}"][rows] for size in sizes),
            *(arrays[name][rows] for name in ("patches", "plain", "vv")),
        )

    def batch(
        self, samples: Sequence[Sample], sizes: Sequence[int], start: int, batch_size: int, group: int
    ) -> Batch:
        """Return a batch of images from `start` on, padded with the last one, with features for images."""
        shape = self.encoder.winclip.size
        chosen = list(samples[start : start + batch_size])
        index = np.full(batch_size, -1, np.int32)
        index[: len(chosen)] = np.arange(start, start + len(chosen))
        chosen += chosen[-1:] * (batch_size - len(chosen))
        rows = np.array([self.rows[sample.path] for sample in chosen])
        bits = np.unpackbits(self.store.arrays["mask"][rows], axis=1, count=math.prod(shape))
        readable = self.store.arrays["readable"][rows] & (index >= 0)
        features = self.features(chosen, sizes)
        return Batch(features, bits.reshape(batch_size, *shape), index, readable, group)  # type: ignore[arg-type]


Prepare = Callable[[str], Any]
ScoreFeatures = Callable[[Any, Any], Scores]


@dataclass(frozen=True)
class FeatureModel:
    """A model for a `Scorer` that scores stored features.

    Attributes:
      backbone: The backbone.
      score_features: Returns the scores of features, given a state and the features.
    """

    backbone: Backbone
    score_features: ScoreFeatures

    def score_with(self, variables: dict[str, Any], state: Any, features: Any) -> Scores:
        """Return the scores of a batch of features, which need no backbone any more."""
        del variables
        return self.score_features(state, features)


def feature_evaluator(
    scorer: Scorer,
    embeddings: Embeddings,
    sizes: Sequence[int],
    prepare: Prepare,
    dataset: DataSet,
    results: Results,
    observe: Observe,
) -> CategoryEvaluator:
    """Return an evaluator that reads stored embeddings.

    Args:
      scorer: The scorer of a `FeatureModel`.
      embeddings: The embeddings of all images that are scored.
      sizes: The sizes of the windows whose embeddings are read.
      prepare: Returns the state of a category.
      dataset: The data set.
      results: Stores the metrics.
      observe: See `CategoryEvaluator`.
    """

    def read(groups: Sequence[Sequence[Sample]]) -> Iterator[Batch]:
        for number, group in enumerate(groups):
            for start in range(0, len(group), scorer.batch_size):
                yield embeddings.batch(group, sizes, start, scorer.batch_size, number)

    return CategoryEvaluator(scorer, prepare, read, dataset, results, observe=observe)


def plain_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """Return the anomaly map (B, rows, columns) of CLIP's own patch tokens."""
    return anomaly_probability(features.plain, text, winclip.temperature).reshape(-1, *winclip.grid)


def vv_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """Return the anomaly map (B, rows, columns) of patch tokens of v-v attention, as in AnomalyCLIP."""
    return anomaly_probability(features.vv, text, winclip.temperature).reshape(-1, *winclip.grid)


def window_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """Return the anomaly map (B, rows, columns) of WinCLIP's windows, the mean over their sizes."""
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
    """Scores images by the probability of "anomalous", the mean over kinds of features.

    Attributes:
      winclip: WinCLIP with the windows to use.
      kinds: Names of `MAPS`, and `CLASS_TOKEN`, which adds the same value to every pixel.
    """

    winclip: WinCLIP
    kinds: tuple[str, ...]

    def score_features(self, state: State, features: Features) -> Scores:
        """Return the scores; an image score is the mean of the class token's and of each map's maximum."""
        winclip, text = self.winclip, state.text
        images, maps = [], []
        if CLASS_TOKEN in self.kinds:
            image = anomaly_probability(features.image[:, 0], text, winclip.temperature)
            images.append(image)
            maps.append(jnp.broadcast_to(image[:, None, None], (len(image), *winclip.grid)))
        for name, make_map in MAPS.items():
            if name in self.kinds:
                maps.append(make_map(winclip, features, text))
                images.append(maps[-1].max(axis=(1, 2)))
        pixels = upsample(jnp.stack(maps).mean(axis=0), winclip.size)
        return Scores(jnp.stack(images).mean(axis=0), pixels)
