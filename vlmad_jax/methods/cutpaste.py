"""CutPaste: a classifier of pasted defects whose features tell real ones (Li et al., CVPR 2021).

Sections 2.1 and 2.2: pieces of good images are pasted elsewhere in them, as patches or as scars, and a
network learns to tell normal, patch and scar apart. Section 2.3: a Gaussian is fitted to its features of good
images; how far an image's features lie from it is its score. Section 2.4: the same for parts of images
gives a map.

It departs from the paper in this: the network is CLIP's frozen encoder and a small head, not a ResNet trained
from scratch, so that a product takes seconds; and there are two heads, of the image's embedding and of
single patches, where the paper trains a second network on crops or looks at gradients (GradCAM).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Scores, check_range
from vlmad_jax.methods.reference import FILL_BATCH, ReferenceDetector
from vlmad_jax.scoring.gaussian import gaussian, mahalanobis

State = dict[str, Any]
Params = dict[str, Any]

PASTED = ("patch", "scar")
# A patch is called defective from this share of changed pixels on, and good only when it has none.
DEFECTIVE_PATCH = 0.1
# Patches of one image that the patch head learns from, defective ones first.
LEARNED_PATCHES = 256
LEARNING_RATE = 1e-3
# Rows of a step, as many of every class.
BATCH = 192


class Examples(NamedTuple):
    """Features (N, D), their kinds (N,), and which are of good images, (N,)."""

    features: np.ndarray
    labels: np.ndarray
    good: np.ndarray


@dataclass(frozen=True, eq=False)
class CutPaste(ReferenceDetector):
    """CutPaste (3-way) on the features of any CLIP ViT.

    Attributes:
      clip: the backbone; the paper's is a ResNet-18.
      image_size: S, the side of the images in pixels; the paper's is 256.
      feature_layers: layers, counted from 1, whose patches the patch head reads.
      pasted: images with a patch, and as many with a scar.
      width: of the heads' hidden layers.
      steps: of training, for each head.
      epsilon: added to the variances of the Gaussians.
      seed: of what is pasted, and of the heads.

    Raises:
      InputError: a setting that does not fit the backbone, or is below its least.
    """

    clip: CLIP
    image_size: int
    feature_layers: tuple[int, ...]
    pasted: int = 96
    width: int = 128
    steps: int = 400
    epsilon: float = 1e-3
    seed: int = 0

    name: ClassVar[str] = "cutpaste"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pasted", "width", "steps"):
            check_range(name, getattr(self, name), 1, None)
        if not self.epsilon > 0:
            raise InputError(f"epsilon {self.epsilon} is not above 0; give for example 1e-3")

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> State:
        """Pastes defects into the good images, trains both heads and fits their Gaussians.

        Args:
          object_name: not used.
          references: uint8 (K, S, S, 3) good images, which are also shown mirrored.
          params: there are none; {} or None.

        Returns:
          {"image": ..., "patches": ...}, each as `fit` gives it; the same shapes for any K.

        Raises:
          InputError: no good images, or of another shape or type; parameters, of which there are none.
        """
        good = self.check_good(references, params)
        images, patches = self.examples(np.concatenate([good, good[:, :, ::-1]]))
        return {"image": self.fit(images), "patches": self.fit(patches)}

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), Mahalanobis distances, 0 or more."""
        features = self.extract(variables, images)
        maps = self.pixel_map(self.distances(state["patches"], features["patches"]))
        return Scores(self.distances(state["image"], features["image"]), maps)

    # Pasting

    def pasted_images(self, good: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Good images (K, S, S, 3), and with defects: all of them, their masks (N, S, S), and kinds (N,).

        A kind is 0 for good, then 1 + its place in `PASTED`.
        """
        from vlmad_jax.synthetic.pasting import paste

        rng = np.random.default_rng(self.seed)
        kinds = np.repeat(np.arange(len(PASTED)), self.pasted)
        pairs = rng.integers(len(good), size=(len(kinds), 2))
        drawn = zip(pairs, kinds, strict=True)
        pasted = [paste(rng, good[a], good[b], PASTED[kind]) for (a, b), kind in drawn]
        images, masks = (np.stack(x) for x in zip(*pasted, strict=True))
        none = np.zeros(good.shape[:3], np.uint8)
        kinds = np.concatenate([np.zeros(len(good), int), 1 + kinds])
        return np.concatenate([good, images]), np.concatenate([none, masks]), kinds

    def patch_labels(self, masks: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """The kind of every patch, 0 for good and -1 where few pixels changed: (N, S, S), (N,) -> (N, P)."""
        (rows, columns), side = self.grid, self.clip.config.vision.patch_size
        pixels = masks[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side)
        share = pixels.mean(axis=(2, 4)).reshape(len(masks), -1)
        return np.where(share >= DEFECTIVE_PATCH, kinds[:, None], np.where(share > 0, -1, 0))

    def examples(self, good: np.ndarray) -> tuple[Examples, Examples]:
        """What the heads of images and of patches learn from, made of good images (K, S, S, 3)."""
        pasted, masks, kinds = self.pasted_images(good)
        labels = self.patch_labels(masks, kinds)
        draw = np.random.default_rng([self.seed, 1]).random(labels.shape) - (labels > 0)
        chosen = np.argsort(draw, axis=1)[:, :LEARNED_PATCHES]
        labels = np.take_along_axis(labels, chosen, axis=1)
        images, patches = [], []
        for first in range(0, len(pasted), FILL_BATCH):
            part = slice(first, first + FILL_BATCH)
            features = self.encode(pasted[part])
            images.append(features["image"])
            kept = np.take_along_axis(features["patches"], chosen[part, :, None], axis=1)
            patches.append(kept[labels[part] >= 0])
        owners = np.repeat(kinds, (labels >= 0).sum(axis=1))
        return (
            Examples(np.concatenate(images), kinds, kinds == 0),
            Examples(np.concatenate(patches), labels[labels >= 0], owners == 0),
        )

    # Heads

    @property
    def head(self) -> Head:
        """The classifier of good and of each kind of defect."""
        return Head(self.width, 1 + len(PASTED))

    def fit(self, examples: Examples) -> State:
        """Trains a head, and fits the Gaussian of section 2.3 to what it thinks of good images.

        Returns:
          "mean", "scale" (D,) of features, "head" its parameters, "centre" (width,) and "whitening"
          (width, width) of the Gaussian.
        """
        mean = examples.features.mean(axis=0)
        scale = examples.features.std(axis=0) + np.float32(1e-6)
        rows = (examples.features - mean) / scale
        head, _ = train_head(self.head, rows, examples.labels, self.steps, LEARNING_RATE, self.seed)
        found = np.asarray(hidden(self.head, head, rows[examples.good]))
        centre, whitening = gaussian(found, self.epsilon)
        return {"mean": mean, "scale": scale, "head": head, "centre": centre, "whitening": whitening}

    def distances(self, state: State, features: jax.Array) -> jax.Array:
        """Mahalanobis distances of features from the good ones: (..., D) -> (...)."""
        rows = (features.reshape(-1, features.shape[-1]) - state["mean"]) / state["scale"]
        found = hidden(self.head, state["head"], rows)
        distances = mahalanobis(found, state["centre"], state["whitening"])
        return distances.reshape(features.shape[:-1])


class Head(nn.Module):
    """Features (..., D) -> what is thought of them, "hidden" (..., width), and "logits" (..., C)."""

    width: int
    classes: int

    @nn.compact
    def __call__(self, features: jax.Array) -> dict[str, jax.Array]:
        x = nn.relu(nn.Dense(self.width, name="first")(features))
        hidden = nn.Dense(self.width, name="second")(x)
        return {"hidden": hidden, "logits": nn.Dense(self.classes, name="classifier")(nn.relu(hidden))}


def train_head(
    head: Head, features: np.ndarray, labels: np.ndarray, steps: int, learning_rate: float, seed: int
) -> tuple[Params, np.ndarray]:
    """Trains a head by Adam and cross-entropy; the rate falls to zero along a cosine.

    Args:
      head: the classifier.
      features: float32 (N, D), of about standard deviation 1.
      labels: int (N,), 0 to C - 1; classes of which there is no row are never seen.
      steps: of `BATCH` rows, drawn with replacement, as many of every class.
      learning_rate: of the first step.
      seed: of the first parameters and the rows.

    Returns:
      Its parameters, and the loss of every step, (steps,).
    """
    present = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    share = -(-BATCH // len(present))
    rows = np.concatenate([rng.choice(members, (steps, share)) for members in present], axis=1)
    key = jax.random.key(seed)
    params, losses = _fit(head, learning_rate, key, features, labels.astype(np.int32), rows)
    return params, np.asarray(losses)


@functools.partial(jax.jit, static_argnums=0)
def hidden(head: Head, params: Params, features: jax.Array) -> jax.Array:
    """What a head thinks of features (N, D): (N, width)."""
    found: Any = head.apply(params, features)
    return found["hidden"]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _fit(
    head: Head, learning_rate: float, key: jax.Array, features: jax.Array, labels: jax.Array, rows: jax.Array
) -> tuple[Params, jax.Array]:
    import optax  # takes a tenth of a second to import

    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, len(rows)))
    params: Any = head.init(key, features[:1])

    def loss(params: Params, chosen: jax.Array) -> jax.Array:
        found: Any = head.apply(params, features[chosen])
        losses = optax.softmax_cross_entropy_with_integer_labels(found["logits"], labels[chosen])
        return losses.mean()

    def step(carry: tuple[Params, Any], chosen: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, chosen)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    (trained, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), rows)
    return trained, losses
