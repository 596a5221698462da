"""Distillation: the model learns to predict the features of a network that has seen photographs.

Linear heads on the patch tokens of several layers predict the features of the teacher's middle layers,
averaged over the patch, and one on the class token predicts the teacher's embedding of the image. For
EfficientNet-Lite the middle layers have strides of 8 and 16 pixels. The loss is the mean squared error of the
features, each with mean 0 and variance 1 over the crops: the share of their variance that is not predicted.
Student and teacher see the same crops, whose features are computed once. The heads are not part of the
trained model.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax import synthetic as rendering
from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.backbones.vit import VisionTransformer
from vlmad_jax.data.workers import stream
from vlmad_jax.errors import InputError
from vlmad_jax.pretraining.photographs import draw_crop
from vlmad_jax.training.array_store import ArrayStore

FIELDS = ("patches", "image")
# The terms of the loss, and the names of the features in a batch.
TERMS = ("teacher_patches", "teacher_image")
# Features are computed of this many crops at a time, and their moments over at most this many crops.
FILL_BATCH = 16
MOST_FOR_MOMENTS = 2048
# Features that hardly vary over the crops are divided by at least this.
SMALLEST_DEVIATION = 1e-3

Moments = dict[str, tuple[np.ndarray, np.ndarray]]


class Draw(NamedTuple):
    """The contents of crops.

    Attributes:
      photographs: The paths of the photographs in each folder.
      rendered_share: The share of crops that are rendered images instead, 0 to 1.
    """

    photographs: tuple[tuple[str, ...], ...]
    rendered_share: float

    def image(self, seed: int, number: int, side: int) -> np.ndarray:
        """Return crop `number`, uint8 (side, side, 3), a function of the seed and the number alone.

        Half of the rendered images are anomalous.
        """
        rng = np.random.default_rng([seed, 2, number])
        if rng.random() >= self.rendered_share:
            return draw_crop(rng, self.photographs, side)
        families = rendering.TRAIN_FAMILIES
        family = families[rng.integers(len(families))]
        product = rendering.make_product(family, int(rng.integers(2**31)))
        scene = int(rng.integers(2**31))
        if rng.integers(2) == 0:
            return rendering.render_good(product, scene, side)
        defects = rendering.defects_of(family)
        return rendering.render_anomalous(product, defects[rng.integers(len(defects))], scene, side)[0]


@dataclass(frozen=True)
class Crops:
    """Crops and the teacher's features of them, in a store that a resumed run continues to fill.

    Attributes:
      directory: The folder of the store.
      size: The number of crops.
      side: S, in pixels.
      seed: The seed of all crops.
      draw: What they show.
      teacher: The network that is imitated.
      grid: The rows and columns of the student's patches.
    """

    directory: pathlib.Path
    size: int
    side: int
    seed: int
    draw: Draw
    teacher: Backbone
    grid: int

    @functools.cached_property
    def store(self) -> ArrayStore:
        """The store: crop uint8 (S, S, 3), and in float16 patches (P, C) and image (E,)."""
        fields: dict[str, Any] = {
            name: (np.float16, x.shape[1:]) for name, x in feature_shapes(self.teacher, self.side, self.grid)
        }
        return ArrayStore(
            {"crop": (np.uint8, (self.side, self.side, 3)), **fields}, self.size, self.directory
        )

    def fill(self, workers: int) -> None:
        """Draw the missing crops in worker processes and compute their features, with a progress bar.

        Args:
          workers: The number of processes; 0 draws in this process.

        Raises:
          InputError: A photograph does not decode.
        """
        import grain

        self.store.create()
        missing = self.store.missing()
        if not missing:
            return
        features = self.teacher.compile(
            "vision", functools.partial(teacher_features, self.teacher, grid=self.grid)
        )
        draw = functools.partial(self.draw.image, self.seed, side=self.side)
        drawn = grain.MapDataset.source(missing).map(functools.partial(_numbered, draw)).batch(FILL_BATCH)
        with (
            tqdm(total=len(missing), desc="teacher", unit=" crops", dynamic_ncols=True) as bar,
            contextlib.closing(stream(drawn, workers)) as batches,
        ):
            for numbers, images in batches:
                # The last batch is filled up, so that one program is compiled.
                filled = np.pad(images, ((0, FILL_BATCH - len(images)), *((0, 0),) * 3), mode="edge")
                found = {name: np.asarray(x, np.float16) for name, x in features(filled).items()}
                for row, number in enumerate(numbers):
                    item = {name: x[row] for name, x in found.items()}
                    self.store.write(number, {"crop": images[row], **item})
                    bar.update()

    @functools.cached_property
    def _arrays(self) -> dict[str, Any]:
        assert not self.store.missing(), "fill comes first"
        return self.store.on_device(self.store.fields)

    def batch(self, first: int, count: int) -> dict[str, Any]:
        """Return `count` crops from number `first` on, modulo `size`, in arrays named "teacher_" + field.

        `fill` comes first. The arrays are on the accelerator if it has room for all crops.
        """
        rows = np.arange(first, first + count) % self.size
        return {f"teacher_{name}": x[rows] for name, x in self._arrays.items()}

    def moments(self) -> Moments:
        """Return the mean and the standard deviation of each feature, float32."""
        found = {}
        for name in FIELDS:
            x = self.store.arrays[name][:MOST_FOR_MOMENTS].astype(np.float32)
            rows = x.reshape(-1, x.shape[-1])
            deviation = rows.std(axis=0, dtype=np.float64)
            mean = rows.mean(axis=0, dtype=np.float64)
            found[name] = (
                mean.astype(np.float32),
                np.maximum(deviation, SMALLEST_DEVIATION).astype(np.float32),
            )
        return found


def _numbered(draw: Any, number: int) -> tuple[int, np.ndarray]:
    return number, draw(number)


def teacher_features(teacher: Backbone, variables: Any, images: jax.Array, grid: int) -> dict[str, jax.Array]:
    """Return the teacher's features of images on the student's patches.

    Args:
      teacher: The network.
      variables: Its variables.
      images: uint8 (B, S, S, 3).
      grid: The rows and columns of the student's patches.

    Returns:
      "patches" (B, P, C), the tokens of all `middle_layers`, averaged over each patch, and "image" (B, E).

    Raises:
      InputError: The teacher's patches do not divide the student's.
    """
    rows, columns = teacher.grid(*images.shape[1:3])
    if rows % grid or columns % grid:
        raise InputError(
            f"--teacher={teacher.name}: its {rows} x {columns} patches do not divide the model's "
            f"{grid} x {grid}; give --teacher=efficientnet-lite2, or another --image_size"
        )
    tokens = teacher.extract(variables, images, teacher.middle_layers)

    def means(x: jax.Array) -> jax.Array:
        cells = x.reshape(len(x), grid, rows // grid, grid, columns // grid, x.shape[-1])
        return cells.mean(axis=(2, 4)).reshape(len(x), grid * grid, -1)

    return {
        "patches": jnp.concatenate([means(x) for x in tokens.patches], axis=-1),
        "image": tokens.image,
    }


def feature_shapes(teacher: Backbone, side: int, grid: int) -> list[tuple[str, jax.ShapeDtypeStruct]]:
    """Return the shapes of the features of one image of `side` pixels, (1, P, C) and (1, E).

    Raises:
      InputError: See `teacher_features`.
    """
    features = functools.partial(teacher_features, teacher, grid=grid)
    image = jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)
    shapes = jax.eval_shape(features, {"params": teacher.params["vision"]}, image)
    return [(name, shapes[name]) for name in FIELDS]


def student_layers(depth: int) -> range:
    """Return the layers whose patch tokens predict the teacher's features, from the middle to the last.

    >>> student_layers(4)
    range(2, 5)
    """
    return range(max(1, depth // 2), depth + 1)


def teacher_heads(crops: Crops, depth: int, width: int) -> dict[str, dict[str, jax.Array]]:
    """Return initial heads of a student, which predict the mean of each feature from a token (D,).

    Those of patches are stacked over the L `student_layers`: kernel (L, D, C) and bias (L, 1, 1, C) for C
    features, to be added to products (L, B, P, C).
    """
    patches, image = (crops.store.fields[name][1][-1] for name in FIELDS)
    layers = len(student_layers(depth))
    return {
        "patches_head": {
            "kernel": jnp.zeros((layers, width, patches)),
            "bias": jnp.zeros((layers, 1, 1, patches)),
        },
        "image_head": {"kernel": jnp.zeros((width, image)), "bias": jnp.zeros(image)},
    }


def teacher_errors(
    encoder: VisionTransformer, heads: Any, batch: dict[str, jax.Array], moments: Moments
) -> dict[str, jax.Array]:
    """Return the terms `TERMS` of a batch: the share of the features' variance that is not predicted.

    Args:
      encoder: The student, bound to its parameters.
      heads: The heads, as `teacher_heads` returns them.
      batch: teacher_crop uint8 (B, S, S, 3), teacher_patches (B, P, C) and teacher_image (B, E).
      moments: The moments of the features.
    """
    hidden, layers = encoder.transform(encoder.embed(batch["teacher_crop"]))
    numbers = student_layers(encoder.config.layers)
    tokens = {
        "patches": jnp.stack([encoder.norm(layers[layer_name(n)][:, 1:]) for n in numbers]),  # (L, B, P, D)
        "image": encoder.norm(hidden[:, 0]),
    }
    products = {"patches": "lbpd,ldc->lbpc", "image": "bd,dc->bc"}

    def error(name: str) -> jax.Array:
        (mean, deviation), head = moments[name], heads[f"{name}_head"]
        predicted = einsum(products[name], tokens[name], head["kernel"]) + head["bias"]
        wanted = (batch[f"teacher_{name}"].astype(jnp.float32) - mean) / deviation
        return ((predicted - wanted) ** 2).mean()

    return {term: error(name) for name, term in zip(FIELDS, TERMS, strict=True)}


def held_out_errors(
    vision: VisionTransformer, params: Any, heads: Any, crops: Crops, moments: Moments
) -> dict[str, float]:
    """Return the terms `TERMS` over other crops, as shares of the variance of the features there."""
    errors = jax.jit(lambda batch: teacher_errors(vision.bind({"params": params}), heads, batch, moments))
    sums = dict.fromkeys(TERMS, 0.0)
    for start in range(0, crops.size, FILL_BATCH):
        count = min(FILL_BATCH, crops.size - start)
        for name, error in errors(crops.batch(start, count)).items():
            sums[name] += float(error) * count
    found = {}
    for field, term in zip(FIELDS, TERMS, strict=True):
        features = crops.store.arrays[field].astype(np.float32)
        spread = features.reshape(-1, features.shape[-1]).std(axis=0) / moments[field][1]
        found[term] = sums[term] / crops.size / float((spread**2).mean())
    return found
