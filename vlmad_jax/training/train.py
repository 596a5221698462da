"""Training of a method's learned parameters on the images and masks of one data set."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from tqdm import tqdm

from vlmad_jax.backbones import load_backbone
from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.backbones.precision import check_trainable
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.checks import NO_PIXEL_TRAINING, print_notices
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.trained_on import record
from vlmad_jax.methods import LearnedDetector, learning_method
from vlmad_jax.methods.learned import save_params
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.training.batches import Batch, LabelledImages
from vlmad_jax.training.feature_store import FILL_BATCH, FeatureCache
from vlmad_jax.training.loop import plot_losses, train
from vlmad_jax.training.pasted import PastedImages, pasted_samples
from vlmad_jax.training.run_config import save_or_check_config
from vlmad_jax.training.step import TrainState, make_step


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run. A run is resumed only with the same configuration.

    Attributes:
      method: A name in `methods.LEARNING`.
      weights: The backbone, a checkpoint's directory or hub id.
      dataset: A name in `data.DATASETS`. Training uses its test images, as the authors do, unless `auxiliary`
        is given.
      data_dir: The data set's folder, if it needs one.
      categories: The categories to train on, or all if empty.
      setting: Hyper-parameters of the method. The others are the published ones, scaled to the backbone.
      epochs: The number of times every image is seen. 0 is for methods that work without training.
      batch_size: The number of images a step, over all devices of all processes.
      learning_rate: The learning rate of Adam, with betas 0.5 and 0.999; None is the method's published one.
      seed: The seed of the initial parameters and of the order of the images.
      dtype: "float32" or "bfloat16".
      cache_features: Whether to cache the frozen encoder's features, in bfloat16.
      auxiliary: A name in `AUXILIARY`, to train on samples made from the normal training images. None trains
        on the test images.
    """

    method: str
    weights: str
    dataset: str
    data_dir: str | None = None
    categories: tuple[str, ...] = ()
    setting: tuple[tuple[str, Any], ...] = ()
    epochs: int = 15
    batch_size: int = 8
    learning_rate: float | None = None
    seed: int = 0
    dtype: str = "float32"
    cache_features: bool = False
    auxiliary: str | None = None


@dataclass(frozen=True)
class Resources:
    """The resources of a run, which do not change its results.

    Attributes:
      workers: The number of processes that decode images. 0 decodes in threads.
      accumulate: The number of parts into which each device's batch is split to save memory.
      save_every: The number of steps between checkpoints.
      cache_gigabytes: The largest size of cached features in memory. Larger caches are on disk.
    """

    workers: int = 0
    accumulate: int = 1
    save_every: int = 100
    cache_gigabytes: float = 4.0


def train_method(config: TrainConfig, out: pathlib.Path, resources: Resources = Resources()) -> pathlib.Path:
    """Train to the end, or resume the run in `out`.

    Args:
      config: The method, its data and its hyper-parameters.
      out: The run's folder, for `checkpoints/`, `log.jsonl`, `losses.png` and finally `params/`.
      resources: The resources of the run.

    Returns:
      The directory of the parameters, for `load_params` and `--params`. It does not exist yet if SIGTERM
      stopped the run.

    Raises:
      InputError: `out` has a run with another configuration; the data set has no anomalous images, or with
        `auxiliary` no normal ones; the batch does not divide over the devices; the loss is not finite; there
        are no epochs, and the method needs some.
    """
    method = learning_method(config.method)
    if config.auxiliary not in (None, *AUXILIARY):
        raise InputError(
            f"--auxiliary={config.auxiliary} is not one of {', '.join(AUXILIARY)}; give one of these"
        )
    if config.epochs == 0 and not method.works_untrained:
        raise InputError(f"--epochs=0: {config.method} learns in training; give 1 or more")
    check_trainable(config.dtype)
    check_named(config.weights, None)
    dataset = load_dataset(config.dataset, config.data_dir, config.categories)
    samples = training_samples(dataset, config.auxiliary)
    if jax.process_index() == 0:
        print_notices(dataset, NO_PIXEL_TRAINING if config.auxiliary is None else None)
    backbone = load_backbone(config.weights, config.dtype)
    detector = with_setting(method.for_backbone(backbone), dict(config.setting))
    check_batch(config, detector, resources)
    rate = method.learning_rate if config.learning_rate is None else config.learning_rate
    depends_on = {
        **dataclasses.asdict(config),
        "learning_rate": rate,
        "setting": detector.setting,
        "data_fingerprint": dataset.fingerprint,
        "weights_fingerprint": backbone.fingerprint,
        "software": software_versions(),
    }
    save_or_check_config(out / "train.json", depends_on)
    images = training_images(config, dataset, samples, detector)
    steps = -(-config.epochs * len(samples) // config.batch_size)
    cache = None
    if config.cache_features:
        cache = FeatureCache.create(detector, dataset, images, resources.cache_gigabytes)
        cache.fill(detector, resources.workers)
    class_names = [dataset.object_name(name) for name in dataset.categories]
    context = detector.training_context(class_names, every_sample(images, cache, resources.workers))
    learned, done = {}, 0
    if steps:
        params = detector.init(jax.random.key(config.seed))
        optimizer = make_optimizer(rate, method.final_learning_rate, steps)
        state, done = train(
            make_step(detector.loss, optimizer, resources.accumulate, config.seed),
            TrainState(params, optimizer.init(params)),
            context if cache is None else detector.without_encoder(context),
            lambda done: (
                cache.batches(done, steps) if cache else images.batches(done, steps, resources.workers)
            ),
            steps,
            out,
            config.batch_size,
            resources.save_every,
            lambda step: ", ".join(dataset.relative(sample.path) for sample in images.step_samples(step - 1)),
        )
        learned = state.params
    if done == steps:
        params = detector.trained_params(learned, context)
        save_params(out / "params", params, detector, record(dataset, samples))
        if jax.process_index() == 0:
            write_environment(out)
            if steps:
                plot_losses(out / "log.jsonl", out / "losses.png")
    return out / "params"


def make_optimizer(first: float, last: float | None, steps: int) -> optax.GradientTransformation:
    """Return Adam with betas 0.5 and 0.999, whose learning rate follows a cosine from `first` to `last`.

    The learning rate stays `first` if `last` is None or not below it.
    """
    if last is None or last >= first:
        return optax.adam(first, b1=0.5, b2=0.999)
    rate = optax.cosine_decay_schedule(first, steps, alpha=last / first)
    return optax.adam(rate, b1=0.5, b2=0.999)


def every_sample(images: LabelledImages, cache: FeatureCache | None, workers: int) -> Iterator[Batch]:
    """Yield every sample once in batches, with features if they are cached, and show a progress bar."""
    numbers = np.arange(len(images.samples))
    with tqdm(total=len(numbers), desc="memory", unit=" images", dynamic_ncols=True) as bar:
        groups = np.split(numbers, range(FILL_BATCH, len(numbers), FILL_BATCH))
        read = (
            images.read(numbers.tolist(), FILL_BATCH, workers) if cache is None else map(cache.batch, groups)
        )
        for batch in read:
            yield batch
            bar.update(len(batch["label"]))


def with_setting(detector: LearnedDetector, changes: dict[str, Any]) -> LearnedDetector:
    """Return the detector with some hyper-parameters changed.

    Raises:
      InputError: The method has no such hyper-parameter.
    """
    unknown = [name for name in changes if name not in detector.setting]
    if unknown:
        raise InputError(f"--{unknown[0]} is not an option of {detector.name}; drop it")
    return dataclasses.replace(detector, **changes)  # type: ignore[type-var]


AUXILIARY: dict[str, type[LabelledImages]] = {"cutpaste": PastedImages}


def training_samples(dataset: DataSet, auxiliary: str | None) -> tuple[Sample, ...]:
    """Return the test images of all categories, or with `auxiliary` samples made from the normal images.

    Raises:
      InputError: No test image is anomalous, or with `auxiliary` there are no normal training images.
    """
    if auxiliary is not None:
        return pasted_samples(dataset)
    samples = tuple(s for name in dataset.categories for s in dataset.select(name, "test"))
    if not any(sample.label for sample in samples):
        raise InputError(
            f"{dataset.root}: no anomalous image in any test folder, and training needs normal and anomalous "
            "ones; give a data set that has both, or --auxiliary"
        )
    return samples


def training_images(
    config: TrainConfig, dataset: DataSet, samples: tuple[Sample, ...], detector: LearnedDetector
) -> LabelledImages:
    """Return the samples as a source of batches.

    Raises:
      InputError: A mask is missing, and the method needs masks.
    """
    unmasked = None if config.auxiliary else next((s for s in samples if not s.has_mask), None)
    with_masks = unmasked is None
    if unmasked and not detector.learns_from_labels:
        raise InputError(
            f"{dataset.root}: {config.method} needs a mask for every anomalous image, and {unmasked.path} "
            "has none, or one that marks nothing; draw the mask, or remove the image"
        )
    if not with_masks and jax.process_index() == 0:
        tqdm.write(f"{config.dataset}: masks are missing, so that only the image term of the loss is trained")
    classes = {name: number for number, name in enumerate(dataset.categories)}
    kind = LabelledImages if config.auxiliary is None else AUXILIARY[config.auxiliary]
    resample = detector.backbone.resample
    return kind(samples, classes, detector.size, config.batch_size, config.seed, with_masks, resample)


def check_batch(config: TrainConfig, detector: LearnedDetector, resources: Resources) -> None:
    """Check the batch size and the feature cache.

    Raises:
      InputError: The batch does not divide over devices and parts, or training changes the features to cache.
    """
    parts = jax.device_count() * resources.accumulate
    if config.batch_size % parts:
        raise InputError(
            f"--batch_size={config.batch_size} is not divisible by {jax.device_count()} devices times "
            f"--accumulate={resources.accumulate}; give a multiple of {parts}"
        )
    if config.cache_features and (option := detector.option_that_trains_features):
        raise InputError(
            f"--cache_features: training changes the features with {option}; drop one of the two"
        )
