"""A cache of the frozen encoder's features, computed once because no epoch or augmentation changes them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from tqdm import tqdm

from vlmad_jax.data import DataSet
from vlmad_jax.errors import InputError
from vlmad_jax.methods import LearnedDetector
from vlmad_jax.methods.detector import Features
from vlmad_jax.runtime.cache import cache_folder, cache_key
from vlmad_jax.training.array_store import ArrayStore, Fields
from vlmad_jax.training.batches import Batch, LabelledImages

# The number of images encoded together while the cache is filled.
FILL_BATCH = 8


@dataclass(frozen=True)
class FeatureCache:
    """The bfloat16 features (stored as uint16, which numpy's files support) and packed masks of all samples.

    Attributes:
      store: The features by name, and `mask`.
      images: The samples.
      names: The names of the features.
      size: The (height, width) of the masks in pixels.
    """

    store: ArrayStore
    images: LabelledImages
    names: tuple[str, ...]
    size: tuple[int, int]

    @classmethod
    def create(
        cls, detector: LearnedDetector, dataset: DataSet, images: LabelledImages, gigabytes: float
    ) -> FeatureCache:
        """Create a cache in memory, or on disk in the cache folder if it is larger than `gigabytes`.

        The folder's name depends on the backbone, the data set's contents, the setting, the pasted defects
        and the software versions, so that the next run of the same training uses the folder again.

        Raises:
          InputError: The folder cannot be written.
        """
        variables = {"params": detector.backbone.params["vision"]}
        image = jax.ShapeDtypeStruct((1, *detector.size, 3), np.uint8)
        features = jax.eval_shape(detector.extract, variables, image)._asdict()
        fields: Fields = {
            **{name: (np.uint16, x.shape[1:]) for name, x in features.items()},
            "mask": (np.uint8, (-(-math.prod(detector.size) // 8),)),
        }
        store = ArrayStore(fields, len(images.samples))
        if store.nbytes > gigabytes * 1e9:
            setting = [detector.name, detector.setting]
            key = [detector.backbone.fingerprint, dataset.fingerprint, setting, jax.process_index()]
            key += images.pixel_key
            folder = cache_folder() / "features" / cache_key(json.dumps(key))
            store = ArrayStore(fields, len(images.samples), folder)
        try:
            store.create()
        except OSError as error:
            raise InputError(
                f"{store.directory}: cannot store {store.nbytes / 1e9:.1f} GB of features "
                f"({error.strerror}); set VLMAD_JAX_CACHE to another folder, or drop --cache_features"
            ) from error
        return cls(store, images, tuple(features), detector.size)

    def fill(self, detector: LearnedDetector, workers: int) -> None:
        """Encode the samples that are not stored yet, with a progress bar."""
        missing = [n for n in range(len(self.images.samples)) if not self.store.contains(n)]
        if not missing:
            return
        encode = detector.backbone.compile("vision", detector.extract)
        padded = missing + missing[-1:] * (-len(missing) % FILL_BATCH)  # one shape, compiled once
        groups = np.array(padded).reshape(-1, FILL_BATCH)
        with tqdm(total=len(missing), desc="features", unit=" images", dynamic_ncols=True) as bar:
            for numbers, batch in zip(groups, self.images.read(padded, FILL_BATCH, workers), strict=True):
                found = jax.tree.map(lambda x: np.asarray(x.astype(jnp.bfloat16)), encode(batch["image"]))
                masks = batch.get("mask", np.zeros((FILL_BATCH, *self.size), np.uint8))
                for row, number in enumerate(numbers):
                    item = {name: x[row].view(np.uint16) for name, x in found._asdict().items()}
                    self.store.write(int(number), {**item, "mask": np.packbits(masks[row])})
                bar.update(min(FILL_BATCH, bar.total - bar.n))

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """Yield this process's part of the batches of steps `first` to `last` - 1, with features."""
        return (self.batch(self.images.local_numbers(step)) for step in range(first, last))

    def batch(self, numbers: np.ndarray) -> dict[str, Any]:
        """Return a batch for a detector's loss: features, labels, and masks if the images have them."""
        items = [self.store.read(int(number)) for number in numbers]
        features = {
            name: np.stack([item[name] for item in items]).view(ml_dtypes.bfloat16) for name in self.names
        }
        found = {"features": Features(**features), **self.images.labels(numbers)}
        if not self.images.with_masks:
            return found
        shape = (len(items), *self.size)
        bits = np.unpackbits(np.stack([item["mask"] for item in items]), axis=1, count=math.prod(self.size))
        return {**found, "mask": bits.reshape(shape)}
