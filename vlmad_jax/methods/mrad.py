"""MRAD: labelled features of an auxiliary data set, kept as a memory and looked up (Xu et al., ICLR 2026).

Memory: each auxiliary image stores its image feature, the mean of its normal patches and the
mean of its anomalous ones, each with its label.

MRAD-TF: a feature's probability of "anomalous" is the share of anomalous keys among
all, weighted by the softmax of its products with them. Nothing is trained.

MRAD-FT: linear heads map queries and keys before they are compared. They are trained on the
auxiliary images. For each query, training drops the most similar keys, among which is the query's own image.

The scores, the loss and its gradient equal those of the authors' code up to float32 rounding. Their patch
features come from v-v attention in every layer but the first, and from the last layer alone.

SigLIP has no class token. Its image feature is the embedding that its attention pooling makes.
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError
from vlmad_jax.methods.anomalyclip import two_streams
from vlmad_jax.methods.detector import Features, Params, Scores, check_image_size
from vlmad_jax.methods.encoding import ENCODE_BATCH
from vlmad_jax.methods.learned import (
    Batch,
    LearnedDetector,
    Shapes,
    Terms,
    batch_features,
    is_published_backbone,
)
from vlmad_jax.methods.mrad_files import load_authors_heads
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.losses import cross_entropy, dice_loss, focal_loss
from vlmad_jax.scoring.maps import blur, mean_of_largest, upsample
from vlmad_jax.scoring.neighbourhoods import neighbourhood_mean
from vlmad_jax.scoring.neighbours import normalise
from vlmad_jax.scoring.retrieval import Memory, memory_of, retrieve

HEADS = ("patch_query", "patch_key", "image_query", "image_key")
NEIGHBOURHOODS = (1, 3, 5)  # sides in patches of the squares whose means are averaged
TOP_SHARE = 0.01  # of a map's pixels, whose mean is a part of the image score
IMAGE_WEIGHT = 0.7  # of the image's own probability in the image score
KEPT_IN_TRAINING = {"patch": 0.8, "image": 0.95}  # the quantile of similarity up to which keys are compared
TEMPERATURE = 0.07  # by which the cross-entropy divides probabilities


class State(NamedTuple):
    """The memories of patches and of images, which are the same for every category."""

    patch: Memory
    image: Memory


@dataclass(frozen=True, eq=False)
class MRAD(LearnedDetector):
    """MRAD on any CLIP ViT.

    The parameters are "memory", from `memory`, and for MRAD-FT the heads "patch_query" and "patch_key", which
    map D to E numbers, and "image_query" and "image_key", which map E to E. Each head is a "kernel" and a
    "bias". With the memory alone, the detector is MRAD-TF.

    A memory takes 4 (2 D + E + 6) bytes for each auxiliary image at most: 11 KiB with ViT-L/14.

    Attributes:
      clip: The backbone; the paper's is OpenAI's ViT-L/14@336.
      image_size: The side of the images in pixels, or (height, width).
      blur_sigma: The standard deviation of the map's blur in pixels; 0 means none.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    clip: CLIP
    image_size: ImageSize
    blur_sigma: float = 4.0

    name: ClassVar[str] = "mrad"
    references: ClassVar = "never"
    needs: ClassVar[str] = "the memory of an auxiliary data set"
    learns_from_labels: ClassVar[bool] = False
    learning_rate: ClassVar[float] = 4e-4
    final_learning_rate: ClassVar[float | None] = 1e-6
    works_untrained: ClassVar[bool] = True
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        check_image_size(self.clip, self.image_size)
        if not self.blur_sigma >= 0:
            raise InputError(f"blur_sigma {self.blur_sigma} is below 0; give 0 for no blur")

    @classmethod
    def paper(cls, clip: CLIP) -> MRAD:
        """Return the published setting: 518 pixels, and a blur of 4."""
        return cls(clip, image_size=518)

    @classmethod
    def for_backbone(cls, clip: CLIP) -> MRAD:
        """Return the published setting; others have their own image size, and a blur in proportion."""
        if is_published_backbone(clip):
            return cls.paper(clip)
        side = clip.config.vision.image_size
        return cls(clip, side, blur_sigma=4 * side / 518)

    # Parameters

    @property
    def shapes(self) -> Shapes:
        """The shapes of the heads by name."""
        width, embedding = self.clip.config.vision.width, self.clip.config.embed_dim
        inputs = {"patch": width, "image": embedding}
        return {
            head: {"kernel": (inputs[head.split("_")[0]], embedding), "bias": (embedding,)} for head in HEADS
        }

    def shapes_for(self, params: Mapping[str, Any]) -> Shapes:
        """Return the shapes of heads, of a memory with as many keys as that of `params`, or of both."""
        memory = params.get("memory")
        if not isinstance(memory, Mapping):
            return self.shapes
        shapes: Shapes = {} if params.keys() == {"memory"} else dict(self.shapes)
        widths = {"patch": self.clip.config.vision.width, "image": self.clip.config.embed_dim}
        counts = {part: len(memory.get(f"{part}_keys", ())) for part in widths}
        keys = {f"{part}_keys": (counts[part], widths[part]) for part in widths}
        return shapes | {"memory": keys | {f"{part}_values": (counts[part], 2) for part in widths}}

    def init(self, key: jax.Array) -> Params:
        """Return initial heads, uniform up to 1 / sqrt(D) as torch's linear layers are."""
        params: Params = {}
        for head, shapes in self.shapes.items():
            key, *keys = jax.random.split(key, 3)
            most = 1 / math.sqrt(shapes["kernel"][0])
            params[head] = {
                name: jax.random.uniform(one, shapes[name], minval=-most, maxval=most)
                for one, name in zip(keys, ("kernel", "bias"), strict=True)
            }
        return params

    def read_authors_file(self, path: pathlib.Path) -> Params:
        """Return the heads in a `.pth` file of the authors' training, which has no memory."""
        return load_authors_heads(path)

    def prepare(
        self, object_name: str = "object", references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the keys to compare with, which do not depend on the name.

        Raises:
          InputError: The parameters lack the memory or have other shapes, or references are given.
        """
        del object_name
        self.check_references(references is not None)
        params = self.check_params(params, "the parameters")
        if "memory" not in params:
            raise InputError(
                "the parameters are heads without the memory of an auxiliary data set; "
                "add the one that MRAD.memory returns, or give those of experiments.train --method=mrad"
            )
        params = jax.tree.map(jnp.asarray, params)
        return State(*(memory_of(part, params, params["memory"]) for part in ("patch", "image")))

    # Memory

    def memory(self, batch: Batch) -> Params:
        """Return the memory of auxiliary images, encoded a few at a time.

        Each image has one image key, then a key of its anomalous patches and one of its normal patches, if it
        has any. The pixels in the middle of a patch decide; a patch where they differ is neither.

        Args:
          batch: `label` int (N,) and `mask` uint8 (N, h, w); `image` uint8 (N, h, w, 3), or `features` from
            `extract` in its place.

        Returns:
          "patch_keys" (M, D), "patch_values" (M, 2), "image_keys" (N, E) and "image_values" (N, 2): keys of
          length 1, and one-hot labels normal and anomalous.
        """
        label = np.asarray(batch["label"])
        used = {name: batch[name] for name in ("image", "features", "mask") if name in batch}
        missing = -len(label) % ENCODE_BATCH  # so that every part compiles once
        parts = []
        for rows in np.pad(np.arange(len(label)), (0, missing), mode="edge").reshape(-1, ENCODE_BATCH):
            part = jax.tree.map(lambda x: x[rows], used)  # noqa: B023
            parts.append(self._keys(batch_features(part, self._extract), part["mask"]))
        image, patches, found = (np.concatenate(x)[: len(label)] for x in zip(*parts, strict=True))
        values, regions = np.eye(2, dtype=np.float32), np.broadcast_to([1, 0], found.shape)
        return {
            "patch_keys": patches[found],
            "patch_values": values[regions[found]],
            "image_keys": image,
            "image_values": values[label],
        }

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.clip.compile("vision", self.extract)

    @functools.cached_property
    def _keys(self) -> Callable[[Features, Array], tuple[jax.Array, jax.Array, jax.Array]]:
        """Image keys (B, E), anomalous and normal patch keys (B, 2, D), and which exist (B, 2)."""

        def keys(features: Features, mask: Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            regions = decided_patches(mask, self.grid)  # (B, 2, P)
            sums = einsum("brp,bpd->brd", regions.astype(jnp.float32), features.patches)
            return normalise(features.image), normalise(sums), regions.any(axis=-1)

        return jax.jit(keys)

    def training_context(self, class_names: Sequence[str], batches: Iterable[Batch]) -> dict[str, Any]:
        """Return the context of a training run, with the memory of its images.

        Raises:
          InputError: No patch is normal, or none is anomalous.
        """
        found = [self.memory(batch) for batch in batches]
        memory = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        anomalous, normal = (int(memory["patch_values"][:, label].sum()) for label in (1, 0))
        if not (anomalous and normal):
            raise InputError(
                f"the memory of {len(memory['image_keys'])} images has {anomalous} keys of anomalous and "
                f"{normal} of normal patches, and mrad compares both; give larger images, or other ones"
            )
        if jax.process_index() == 0:
            megabytes = sum(x.nbytes for x in memory.values()) / 1e6
            print_stderr(
                f"the memory has {len(memory['image_keys'])} keys of images, {anomalous} of anomalous "
                f"patches and {normal} of normal ones, {megabytes:.1f} MB"
            )
        return {**self.context(class_names), "memory": memory}

    # Images

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images: `image` (B, E), and patches (B, P, D) averaged over neighbours."""
        vision = self.clip.vision("bilinear").bind(variables)
        has_class = vision.config.class_token

        def encode(images: jax.Array) -> Features:
            hidden, streams = two_streams(vision, vision.embed(images), vision.config.layers - 1, "vv")
            patches = vision.norm(streams[-1][:, vision.config.prefix :])
            means = [neighbourhood_mean(patches, self.grid, side) for side in NEIGHBOURHOODS]
            image = vision.project_unnormed(hidden[:, 0]) if has_class else vision.pool(hidden)
            return Features(image, sum(means, jnp.zeros(())) / len(means))

        return map_images(encode, images, tokens=vision.config.prefix + self.grid[0] * self.grid[1])

    def score_features(self, state: State, features: Features) -> Scores:
        """Return scores of images (B,) and of pixels (B, h, w), 0 to 1."""
        patches, image = normalise(features.patches), normalise(features.image)
        anomaly_map = blur(self.to_pixels(retrieve(patches, state.patch)[..., 1]), self.blur_sigma)
        pixels = anomaly_map.reshape(len(anomaly_map), -1)
        own = retrieve(image, state.image)[..., 1]
        return Scores(
            IMAGE_WEIGHT * own + (1 - IMAGE_WEIGHT) * mean_of_largest(pixels, TOP_SHARE), anomaly_map
        )

    def to_pixels(self, values: jax.Array) -> jax.Array:
        """Upsample values of patches bilinearly: (B, P) -> (B, h, w)."""
        return upsample(values.reshape(-1, *self.grid), self.size)

    # Training

    def context(self, class_names: Sequence[str] = ()) -> dict[str, Any]:
        """Return the frozen arrays of the loss but the memory; they do not depend on `class_names`."""
        del class_names
        return {"vision": {"params": self.clip.params["vision"]}}

    def without_encoder(self, context: Any) -> dict[str, Any]:
        """Return the context of batches that have features."""
        return {**context, "vision": {}}

    def trained_params(self, params: Params, context: Any) -> Params:
        """Return the trained heads, {} without training, and the memory."""
        return {**params, "memory": context["memory"]}

    def loss(self, params: Params, context: Any, batch: Batch) -> tuple[jax.Array, Terms]:
        """Return focal + dice loss of the anomalous map + cross-entropy of the image.

        Args:
          params: The heads, with respect to which the gradient is taken.
          context: The frozen arrays, from `context`, and "memory" from `memory`.
          batch: `label` int (B,) and `mask` uint8 (B, h, w); `image` uint8 (B, h, w, 3), or `features` from
            `extract` in its place.

        Returns:
          The loss, and its terms "focal", "dice" and "cross_entropy". The cross-entropy takes probabilities
          divided by a temperature for logits, as the authors' code does.
        """
        features = batch_features(batch, functools.partial(self.extract, context["vision"]))
        found = {
            part: retrieve(
                normalise(getattr(features, field)),
                memory_of(part, params, context["memory"]),
                context["memory"][f"{part}_keys"],
                KEPT_IN_TRAINING[part],
            )
            for part, field in (("patch", "patches"), ("image", "image"))
        }
        anomaly_map, mask = self.to_pixels(found["patch"][..., 1]), batch["mask"]
        parts = {
            "focal": focal_loss(anomaly_map, mask),
            "dice": dice_loss(anomaly_map, mask),
            "cross_entropy": cross_entropy(found["image"] / TEMPERATURE, batch["label"]),
        }
        return sum(parts.values(), jnp.zeros(())), parts


def decided_patches(mask: Array, grid: tuple[int, int]) -> jax.Array:
    """Return which patches are anomalous, and which are normal: masks (B, h, w) -> bool (B, 2, P).

    Masks are sampled bilinearly in the middle of each patch. A patch where the pixels differ is neither.
    """
    share = upsample(jnp.asarray(mask, jnp.float32), grid).reshape(len(mask), -1)
    # Rounding moves the samples of 518 pixels in 37 patches by some millionths of a pixel.
    return jnp.stack([share > 1 - 1e-3, share < 1e-3], axis=1)
