"""What a contender repeats, with random numbers throughout: scoring images, or steps of training."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax

from vlmad_jax.backbones.clip import random_clip
from vlmad_jax.benchmark.drawn import draw_clip, draw_images, draw_text
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.benchmark.work import matmul_flop
from vlmad_jax.errors import InputError
from vlmad_jax.methods import learning_method
from vlmad_jax.training.step import TrainState, make_step, replicate, shard


@dataclass(frozen=True)
class Job:
    """The work of one batch, to be repeated.

    Attributes:
      call: does it and returns arrays to wait for.
      flop: operations of matrix products in one call, as our program does them.
    """

    call: Callable[[], Any]
    flop: Callable[[], int]


def make_job(setting: Setting, dtype: str) -> Job:
    """The work of a setting: `score`, `train`, or `train_cached`.

    Raises:
      InputError: a batch that does not divide over the devices that train on it.
    """
    return scoring(setting, dtype) if setting.work == "score" else training(setting, dtype)


def scoring(setting: Setting, dtype: str) -> Job:
    """`Detector.score` of a batch of images.

    Weights, text features and images are those that a peer draws (`drawn.py`); a memory of good samples and
    whatever else a method may have in its state is random.
    """
    detector = setting.detector(draw_clip(setting.config, dtype))
    state = random_state(detector, setting.shots)._replace(text=jnp.asarray(draw_text(setting.config)))
    images = jnp.asarray(draw_images(setting.batch_size, detector.size))
    return Job(lambda: detector.score(state, images), lambda: matmul_flop(detector.score, state, images))


def training(setting: Setting, dtype: str) -> Job:
    """A step of training on a batch of images and masks, or on their cached features, over all devices."""
    devices, size = jax.local_device_count(), setting.batch_size
    if size % devices:
        raise InputError(f"--batch_size={size} does not divide over {devices} devices; give a multiple")
    clip = random_clip(setting.config, dtype=dtype, tokenizer=Words(setting.config.text.eos_token_id))
    detector = learning_method(setting.method).for_backbone(clip)
    context, rng = detector.context(("object",)), np.random.default_rng(0)
    batch: dict[str, Any] = {
        "label": rng.integers(0, 2, size, np.int32),
        "class_id": np.zeros(size, np.int32),
        "mask": rng.integers(0, 2, (size, detector.size, detector.size), np.uint8),
    }
    if setting.work == "train":
        batch["image"] = draw_images(size, detector.size)
    else:
        shapes = jax.eval_shape(detector.extract, context.vision, draw_images(size, detector.size))
        context = context._replace(vision={})
        batch["features"] = jax.tree.map(
            lambda x: rng.standard_normal(x.shape, np.float32).astype(ml_dtypes.bfloat16), shapes
        )
    params, optimizer = detector.init(jax.random.key(0)), optax.adam(1e-3)
    step = make_step(detector.loss, optimizer)
    state = replicate(TrainState(params, optimizer.init(params)))
    frozen, sharded = replicate(context), shard(batch)

    def call() -> Any:
        nonlocal state
        state, terms = step(state, frozen, sharded)
        return terms

    return Job(call, lambda: devices * matmul_flop(step, state, frozen, sharded))


@dataclass(frozen=True)
class Words:
    """A tokenizer that knows how long a sentence is, which is all that speed depends on, and its end."""

    end: int

    def __call__(self, sentences: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        """Token 0 for the start and for every word and sign, then the end."""
        lengths = [1 + len(re.findall(r"\w+|[^\w\s]", sentence)) for sentence in sentences]
        return {"input_ids": [[0] * length + [self.end] for length in lengths]}


def random_state(detector: Any, shots: int) -> Any:
    """A state with the shapes that the detector's `prepare` gives, and random numbers in it.

    `prepare` is traced and not run, so the text transformer costs nothing.

    Args:
      detector: with a backbone that may lack a tokenizer.
      shots: K, the number of references; 0 is zero-shot.
    """
    words = Words(detector.clip.config.text.eos_token_id)
    readable = dataclasses.replace(detector, clip=dataclasses.replace(detector.clip, tokenizer=words))
    size = detector.size
    references = [jax.ShapeDtypeStruct((shots, size, size, 3), jnp.uint8)] if shots else []
    shapes = jax.eval_shape(
        lambda *references: readable.prepare("object", *references, params=readable.init(jax.random.key(0))),
        *references,
    )
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    numbers = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, numbers)
