"""The measured work, with random inputs: scoring a batch of images, or a training step."""

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

from vlmad_jax.backbones.clip import CLIP, random_clip
from vlmad_jax.benchmark.random_inputs import draw_clip, draw_images, draw_text
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.benchmark.work import matmul_flop
from vlmad_jax.errors import InputError
from vlmad_jax.methods import learning_method
from vlmad_jax.training.step import TrainState, make_step, replicate, shard


@dataclass(frozen=True)
class Job:
    """The work of one batch.

    Attributes:
      call: Does the work and returns arrays to wait for.
      flop: Returns the matrix-product operations of one call, as our program executes them.
    """

    call: Callable[[], Any]
    flop: Callable[[], int]


def make_job(setting: Setting, dtype: str, clip: CLIP | None = None) -> Job:
    """Return the job of a setting: `score`, `train`, or `train_cached`.

    Args:
      setting: The setting.
      dtype: The dtype of products with weights.
      clip: The backbone, in that dtype; by default one with random weights.

    Raises:
      InputError: A training batch does not divide over the devices.
    """
    if setting.work == "score":
        return scoring(setting, draw_clip(setting.config, dtype) if clip is None else clip)
    return training(setting, random_clip(setting.config, dtype=dtype) if clip is None else clip)


def scoring(setting: Setting, clip: CLIP) -> Job:
    """Return the job that calls `Detector.score` on a batch of images.

    Weights, text features and images are those of `random_inputs.py`, which the PyTorch implementations use
    too. The rest of the state, such as a memory of reference patches, is random.
    """
    detector = setting.detector(clip)
    state = random_state(detector, setting.shots)._replace(text=jnp.asarray(draw_text(setting.config)))
    images = jnp.asarray(draw_images(setting.batch_size, detector.size[0]))
    return Job(lambda: detector.score(state, images), lambda: matmul_flop(detector.score, state, images))


def training(setting: Setting, clip: CLIP) -> Job:
    """Return the job of a training step on images and masks, or on cached features, over all devices.

    Raises:
      InputError: The batch does not divide over the devices.
    """
    devices, size = jax.local_device_count(), setting.batch_size
    if size % devices:
        raise InputError(f"--batch_size={size} is not divisible by {devices} devices; give a multiple")
    clip = dataclasses.replace(clip, tokenizer=WordCounter(setting.config.text.eos_token_id))
    detector = learning_method(setting.method).for_backbone(clip)
    context, rng = detector.context(("object",)), np.random.default_rng(0)
    batch: dict[str, Any] = {
        "label": rng.integers(0, 2, size, np.int32),
        "class_id": np.zeros(size, np.int32),
        "mask": rng.integers(0, 2, (size, *detector.size), np.uint8),
    }
    if setting.work == "train":
        batch["image"] = draw_images(size, detector.size[0])
    else:
        shapes = jax.eval_shape(detector.extract, context.vision, draw_images(size, detector.size[0]))
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
class WordCounter:
    """A tokenizer that gives prompts about the right length, on which alone the speed depends.

    Attributes:
      end: The token id at the end of a prompt.
    """

    end: int

    def __call__(self, sentences: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        """Return token 0 for the start and for every word and punctuation mark, and then the end token."""
        lengths = [1 + len(re.findall(r"\w+|[^\w\s]", sentence)) for sentence in sentences]
        return {"input_ids": [[0] * length + [self.end] for length in lengths]}


def random_state(detector: Any, shots: int) -> Any:
    """Return a random state with the shapes that the detector's `prepare` gives.

    `prepare` is traced and not run, so that the text transformer takes no time.

    Args:
      detector: The detector, whose backbone may lack a tokenizer.
      shots: K, the number of reference images; 0 is zero-shot.
    """
    tokenizer = WordCounter(detector.clip.config.text.eos_token_id)
    with_tokenizer = dataclasses.replace(
        detector, clip=dataclasses.replace(detector.clip, tokenizer=tokenizer)
    )
    references = [jax.ShapeDtypeStruct((shots, *detector.size, 3), jnp.uint8)] if shots else []
    shapes = jax.eval_shape(
        lambda *references: with_tokenizer.prepare(
            "object", *references, params=with_tokenizer.init(jax.random.key(0))
        ),
        *references,
    )
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    numbers = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, numbers)
