"""Features of the frozen encoder, computed once: no epoch changes them, and no augmentation touches them."""

from __future__ import annotations

import json
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
from vlmad_jax.training.array_store import Fields, Store
from vlmad_jax.training.batches import LabelledImages

# Images encoded at a time while the cache is filled.
FILL_BATCH = 8


@dataclass(frozen=True)
class FeatureCache:
    """Features of every sample in bfloat16 (kept as uint16, which numpy's files know), and packed masks."""

    store: Store
    names: tuple[str, ...]
    size: int

    @classmethod
    def of(
        cls, detector: LearnedDetector, dataset: DataSet, images: LabelledImages, gigabytes: float
    ) -> FeatureCache:
        """In memory up to that size; beyond, on disk below the cache's folder.

        The folder is named by backbone, content of the data set, setting, what was pasted, and versions, and
        used again by the next run of the same.
        """
        variables = {"params": detector.clip.params["vision"]}
        image = jax.ShapeDtypeStruct((1, detector.size, detector.size, 3), np.uint8)
        features = jax.eval_shape(detector.extract, variables, image)._asdict()
        fields: Fields = {
            **{name: (np.uint16, x.shape[1:]) for name, x in features.items()},
            "mask": (np.uint8, (-(-(detector.size**2) // 8),)),
        }
        store = Store(fields, len(images.samples))
        if store.nbytes > gigabytes * 1e9:
            setting = [detector.name, detector.setting]
            key = [detector.clip.fingerprint, dataset.fingerprint, setting, jax.process_index()]
            key += images.origin
            folder = cache_folder() / "features" / cache_key(json.dumps(key))
            store = Store(fields, len(images.samples), folder)
        try:
            store.create()
        except OSError as error:
            raise InputError(
                f"{store.directory}: cannot hold {store.nbytes / 1e9:.1f} GB of features ({error.strerror}); "
                "set VLMAD_JAX_CACHE to another folder, or leave out --cache_features"
            ) from error
        return cls(store, tuple(features), detector.size)

    def fill(self, detector: LearnedDetector, images: LabelledImages, workers: int) -> None:
        """Encodes the samples that are not there yet, with a progress bar."""
        missing = [number for number in range(len(images.samples)) if not self.store.has(number)]
        if not missing:
            return
        encode = detector.clip.compile("vision", detector.extract)
        padded = missing + missing[-1:] * (-len(missing) % FILL_BATCH)  # one shape, compiled once
        groups = np.array(padded).reshape(-1, FILL_BATCH)
        with tqdm(total=len(missing), desc="features", unit=" images", dynamic_ncols=True) as bar:
            for numbers, batch in zip(groups, images.read(padded, FILL_BATCH, workers), strict=True):
                found = jax.tree.map(lambda x: np.asarray(x.astype(jnp.bfloat16)), encode(batch["image"]))
                masks = batch.get("mask", np.zeros((FILL_BATCH, self.size, self.size), np.uint8))
                for row, number in enumerate(numbers):
                    item = {name: x[row].view(np.uint16) for name, x in found._asdict().items()}
                    self.store.put(int(number), {**item, "mask": np.packbits(masks[row])})
                bar.update(min(FILL_BATCH, bar.total - bar.n))

    def batch(self, images: LabelledImages, numbers: np.ndarray) -> dict[str, Any]:
        """A batch for the loss of a detector: features, label, and mask where masks are read."""
        items = [self.store.get(int(number)) for number in numbers]
        features = {
            name: np.stack([item[name] for item in items]).view(ml_dtypes.bfloat16) for name in self.names
        }
        found = {"features": Features(**features), **images.labels(numbers)}
        if not images.with_masks:
            return found
        shape = (len(items), self.size, self.size)
        bits = np.unpackbits(np.stack([item["mask"] for item in items]), axis=1, count=self.size**2)
        return {**found, "mask": bits.reshape(shape)}
