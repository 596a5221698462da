"""CutPaste: a classifier of pasted defects whose features separate real ones (Li et al., CVPR 2021).

Sections 2.1 and 2.2: pieces of reference images are pasted elsewhere into them, as patches or as scars, and a
network learns to classify normal, patch and scar. Section 2.3: a Gaussian is fitted to the network's features
of normal images, and the score of an image is its distance from the Gaussian. Section 2.4: the same for parts
of images gives a map.

There are two departures from the paper. The network is CLIP's frozen encoder with a small head instead of a
ResNet trained from scratch, so that a category takes seconds. There is one head for the image's embedding and
one for single patches, where the paper trains a second network on crops or uses GradCAM.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Features, Params, Scores, check_range
from vlmad_jax.methods.encoding import ENCODE_BATCH
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.gaussian import gaussian, mahalanobis

PASTED = ("patch", "scar")
# The least fraction of changed pixels in an anomalous patch. A normal patch has no changed pixel.
ANOMALOUS_SHARE = 0.1
# The number of patches of one image that train the patch head, anomalous ones first.
TRAINED_PATCHES = 256
LEARNING_RATE = 1e-3
# The number of rows in a training step, balanced over the classes.
BATCH = 192


class Examples(NamedTuple):
    """The training examples of a head.

    Attributes:
      features: (N, D).
      labels: int (N,), 0 for normal, then 1 + the place in `PASTED`.
      normal: bool (N,), whether the example is from an image without a defect.
    """

    features: np.ndarray
    labels: np.ndarray
    normal: np.ndarray


class FittedHead(NamedTuple):
    """A trained head with the Gaussian of its normal features.

    Attributes:
      mean: (D,), of the features.
      scale: (D,), the standard deviation of the features.
      head: The variables of `Head`.
      centre: (width,), of the Gaussian.
      whitening: (width, width), of the Gaussian.
    """

    mean: jax.Array
    scale: jax.Array
    head: Variables
    centre: jax.Array
    whitening: jax.Array


class State(NamedTuple):
    """The heads of one category, of the same shapes for any number of reference images."""

    image: FittedHead
    patches: FittedHead


@dataclass(frozen=True, eq=False)
class CutPaste(ReferenceDetector):
    """CutPaste (3-way) on the features of any backbone.

    Attributes:
      backbone: The frozen network; the paper's is a ResNet-18.
      image_size: The side of the images in pixels, or (height, width); the paper's is 256.
      feature_layers: The layers, counted from 1, whose patches are the features of the patch head.
      pasted: The number of training images with a patch, and also of those with a scar.
      width: The width of the heads' hidden layers.
      steps: The number of training steps for each head.
      epsilon: The value added to the variances of the Gaussians.
      seed: The seed of the defects and of the heads.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    backbone: Backbone
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    pasted: int = 96
    width: int = 128
    steps: int = 400
    epsilon: float = 1e-3
    seed: int = 0

    name: ClassVar[str] = "cutpaste"
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pasted", "width", "steps"):
            check_range(name, getattr(self, name), 1, None)
        if not self.epsilon > 0:
            raise InputError(f"epsilon {self.epsilon} is not above 0; give for example 1e-3")

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Train both heads on the reference images, also mirrored, and fit their Gaussians.

        The name is unused.
        """
        del object_name
        normal = self.checked_references(references, params)
        images, patches = self.examples(np.concatenate([normal, normal[:, :, ::-1]]))
        return State(self.fit(images), self.fit(patches))

    def score_features(self, state: State, features: Features) -> Scores:
        """Return Mahalanobis distances of images (B,) and pixels (B, height, width), 0 or more."""
        maps = self.pixel_map(self.distances(state.patches, features.patches))
        return Scores(self.distances(state.image, features.image), maps)

    # Pasting

    def pasted_images(self, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Paste defects into normal images (K, height, width, 3).

        Returns:
          The normal images and those with defects (N, height, width, 3), their masks (N, height, width), and
          their labels (N,), 0 for normal, then 1 + the place in `PASTED`.
        """
        from vlmad_jax.synthetic.pasting import paste  # imports the renderer

        rng = np.random.default_rng(self.seed)
        kinds = np.repeat(np.arange(len(PASTED)), self.pasted)
        pairs = rng.integers(len(normal), size=(len(kinds), 2))
        drawn = zip(pairs, kinds, strict=True)
        pasted = [paste(rng, normal[a], normal[b], PASTED[kind]) for (a, b), kind in drawn]
        images, masks = (np.stack(x) for x in zip(*pasted, strict=True))
        none = np.zeros(normal.shape[:3], np.uint8)
        labels = np.concatenate([np.zeros(len(normal), int), 1 + kinds])
        return np.concatenate([normal, images]), np.concatenate([none, masks]), labels

    def patch_labels(self, masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the label of every patch: (N, height, width), (N,) -> (N, P).

        It is 0 without changed pixels, and -1 (unused) with fewer than `ANOMALOUS_SHARE`.
        """
        (rows, columns), side = self.grid, self.backbone.patch_size
        # Where the grid counts incomplete patches.
        edge = [(0, max(0, n * side - pixels)) for n, pixels in zip(self.grid, self.size, strict=True)]
        masks = np.pad(masks, [(0, 0), *edge])
        pixels = masks[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side)
        share = pixels.mean(axis=(2, 4)).reshape(len(masks), -1)
        return np.where(share >= ANOMALOUS_SHARE, labels[:, None], np.where(share > 0, -1, 0))

    def examples(self, normal: np.ndarray) -> tuple[Examples, Examples]:
        """Return the examples of the image head and of the patch head, from (K, height, width, 3)."""
        pasted, masks, image_labels = self.pasted_images(normal)
        labels = self.patch_labels(masks, image_labels)
        draw = np.random.default_rng([self.seed, 1]).random(labels.shape) - (labels > 0)
        chosen = np.argsort(draw, axis=1)[:, :TRAINED_PATCHES]
        labels = np.take_along_axis(labels, chosen, axis=1)
        images, patches = [], []
        for first in range(0, len(pasted), ENCODE_BATCH):
            part = slice(first, first + ENCODE_BATCH)
            features = self.encode(pasted[part])
            images.append(features.image)
            kept = np.take_along_axis(np.asarray(features.patches), chosen[part, :, None], axis=1)
            patches.append(kept[labels[part] >= 0])
        owners = np.repeat(image_labels, (labels >= 0).sum(axis=1))
        return (
            Examples(np.concatenate(images), image_labels, image_labels == 0),
            Examples(np.concatenate(patches), labels[labels >= 0], owners == 0),
        )

    # Heads

    @property
    def head(self) -> Head:
        """The classifier of normal examples and of each kind of defect."""
        return Head(self.width, 1 + len(PASTED))

    def fit(self, examples: Examples) -> FittedHead:
        """Train a head, and fit the Gaussian of section 2.3 to its features of normal images."""
        mean = examples.features.mean(axis=0)
        scale = examples.features.std(axis=0) + np.float32(1e-6)
        rows = (examples.features - mean) / scale
        head, _ = train_head(self.head, rows, examples.labels, self.steps, LEARNING_RATE, self.seed)
        features = np.asarray(head_features(self.head, head, rows[examples.normal]))
        centre, whitening = gaussian(features, self.epsilon)
        return FittedHead(mean, scale, head, centre, whitening)  # type: ignore[arg-type]

    def distances(self, fitted: FittedHead, features: jax.Array) -> jax.Array:
        """Return Mahalanobis distances of features from the normal ones: (..., D) -> (...)."""
        rows = (features.reshape(-1, features.shape[-1]) - fitted.mean) / fitted.scale
        found = head_features(self.head, fitted.head, rows)
        distances = mahalanobis(found, fitted.centre, fitted.whitening)
        return distances.reshape(features.shape[:-1])


class HeadOutput(NamedTuple):
    """The output of a head.

    Attributes:
      features: (..., width), of the last hidden layer.
      logits: (..., C).
    """

    features: jax.Array
    logits: jax.Array


class Head(nn.Module):
    """A small classifier of frozen features (..., D), trained in seconds."""

    width: int
    classes: int

    @nn.compact
    def __call__(self, features: jax.Array) -> HeadOutput:
        """Return the output for features (..., D)."""
        x = nn.relu(nn.Dense(self.width, name="first")(features))
        hidden = nn.Dense(self.width, name="second")(x)
        return HeadOutput(hidden, nn.Dense(self.classes, name="classifier")(nn.relu(hidden)))


@functools.partial(jax.jit, static_argnums=0)
def head_features(head: Head, variables: Variables, features: jax.Array) -> jax.Array:
    """Return the head's own features of features (N, D): (N, width)."""
    output: Any = head.apply(variables, features)
    return output.features


def train_head(
    head: Head, features: np.ndarray, labels: np.ndarray, steps: int, learning_rate: float, seed: int
) -> tuple[Variables, np.ndarray]:
    """Train a head with Adam, cross-entropy and a cosine decay of the learning rate to 0.

    Args:
      head: The classifier.
      features: float32 (N, D), with a standard deviation of about 1.
      labels: int (N,), 0 to C - 1; some classes may have no rows.
      steps: The number of steps of `BATCH` rows, drawn with replacement and balanced over the classes.
      learning_rate: The initial learning rate.
      seed: The seed of the initial parameters and of the rows.

    Returns:
      The variables of the head, and the loss of every step (steps,).
    """
    present = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    share = -(-BATCH // len(present))
    rows = np.concatenate([rng.choice(members, (steps, share)) for members in present], axis=1)
    key = jax.random.key(seed)
    variables, losses = _train(head, learning_rate, key, features, labels.astype(np.int32), rows)
    return variables, np.asarray(losses)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train(
    head: Head, learning_rate: float, key: jax.Array, features: jax.Array, labels: jax.Array, rows: jax.Array
) -> tuple[Variables, jax.Array]:
    import optax  # takes a tenth of a second to import

    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, len(rows)))
    initial: Any = head.init(key, features[:1])

    def loss(variables: Variables, chosen: jax.Array) -> jax.Array:
        output: Any = head.apply(variables, features[chosen])
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels[chosen]).mean()

    def step(carry: tuple[Variables, Any], chosen: jax.Array) -> tuple[tuple[Variables, Any], jax.Array]:
        variables, state = carry
        value, gradient = jax.value_and_grad(loss)(variables, chosen)
        updates, state = optimizer.update(gradient, state, variables)
        return (optax.apply_updates(variables, updates), state), value

    (trained, _), losses = jax.lax.scan(step, (initial, optimizer.init(initial)), rows)
    return trained, losses
