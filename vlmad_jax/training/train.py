"""Training of a method's learned parameters on images and masks of one data set."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from dataclasses import dataclass
from typing import Any

import jax
import optax
from tqdm import tqdm

from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.backbones.clip import CLIP, load_clip
from vlmad_jax.backbones.precision import check_trainable
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.checks import NO_PIXEL_TRAINING, print_notices
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.trained_on import record
from vlmad_jax.methods import LearnedDetector, learning_method
from vlmad_jax.methods.learned import save_params
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.runtime.files import write_json
from vlmad_jax.training.batches import LabelledImages, batches
from vlmad_jax.training.feature_store import FeatureCache
from vlmad_jax.training.loop import plot_losses, train
from vlmad_jax.training.pasted import PastedImages, pasted_samples
from vlmad_jax.training.step import TrainState, make_step


@dataclass(frozen=True)
class TrainConfig:
    """What learned parameters depend on; a run in progress is only continued with the same.

    Attributes:
      method: a name of `methods.LEARNING`.
      weights: the backbone, a checkpoint's directory or hub id.
      dataset: a name of `data.DATASETS`; its test images are learned from, as the authors do, unless
        `auxiliary` is given.
      data_dir: where it is, for those that need it.
      categories: those to learn from; all if empty.
      setting: hyper-parameters of the method; those that are absent are the published ones, in proportion to
        the backbone.
      epochs: times that every image is seen.
      batch_size: images a step, over all devices of all processes.
      learning_rate: of Adam, with betas 0.5 and 0.999.
      seed: of the first parameters and the order of the images.
      dtype: "float32" or "bfloat16".
      cache_features: whether the frozen encoder's features are kept, in bfloat16.
      auxiliary: a name of `AUXILIARY`, for samples made of the good training images; None learns from the
        test images.
    """

    method: str
    weights: str
    dataset: str
    data_dir: str | None = None
    categories: tuple[str, ...] = ()
    setting: tuple[tuple[str, Any], ...] = ()
    epochs: int = 15
    batch_size: int = 8
    learning_rate: float = 1e-3
    seed: int = 0
    dtype: str = "float32"
    cache_features: bool = False
    auxiliary: str | None = None


@dataclass(frozen=True)
class Resources:
    """What a run may use, which changes none of its results.

    Attributes:
      workers: processes that decode; 0 decodes in threads.
      accumulate: parts of a device's batch that follow one another, for less memory.
      save_every: steps between checkpoints.
      cache_gigabytes: features up to this size stay in memory, larger ones go to disk.
    """

    workers: int = 0
    accumulate: int = 1
    save_every: int = 100
    cache_gigabytes: float = 4.0


def train_method(config: TrainConfig, out: pathlib.Path, resources: Resources = Resources()) -> pathlib.Path:
    """Trains to the end, or goes on with the run in `out`.

    Args:
      config: what to learn, from what.
      out: `checkpoints/`, `log.jsonl`, `losses.png` and at the end `params/` are written there.
      resources: what the run may use.

    Returns:
      The directory of the parameters, for `load_params` and `--params`. Where SIGTERM stopped the run, it is
      not there yet.

    Raises:
      InputError: `out` holds another run; a data set without defective images, or with `auxiliary` without
        good ones; a batch that does not divide over the devices; a loss that is not finite.
    """
    method = learning_method(config.method)
    if config.auxiliary not in (None, *AUXILIARY):
        raise InputError(
            f"--auxiliary={config.auxiliary} is not one of {', '.join(AUXILIARY)}; give one of these"
        )
    check_trainable(config.dtype)
    check_named(config.weights, None)
    dataset = load_dataset(config.dataset, config.data_dir, config.categories)
    samples = training_samples(dataset, config.auxiliary)
    if jax.process_index() == 0:
        print_notices(dataset, NO_PIXEL_TRAINING if config.auxiliary is None else None)
    clip = load_clip(config.weights, config.dtype)
    detector = with_setting(method.for_backbone(clip), dict(config.setting))
    check_batch(config, detector, resources)
    remember(out, config, detector, dataset, clip)
    images = training_images(config, dataset, samples, detector)
    steps = -(-config.epochs * len(samples) // config.batch_size)
    cache = None
    if config.cache_features:
        cache = FeatureCache.of(detector, dataset, images, resources.cache_gigabytes)
        cache.fill(detector, images, resources.workers)
    params = detector.init(jax.random.key(config.seed))
    optimizer = optax.adam(config.learning_rate, b1=0.5, b2=0.999)
    context = detector.context([dataset.object_name(name) for name in dataset.categories])
    if cache is not None:
        del context["vision"]
    state, done = train(
        make_step(detector.loss, optimizer, resources.accumulate, config.seed),
        TrainState(params, optimizer.init(params)),
        context,
        lambda done: batches(images, done, steps, resources.workers, cache),
        steps,
        out,
        config.batch_size,
        resources.save_every,
        lambda step: ", ".join(dataset.relative(sample.path) for sample in images.of_step(step - 1)),
    )
    if done == steps:
        save_params(out / "params", state.params, detector, record(dataset, samples))
        if jax.process_index() == 0:
            write_environment(out)
            plot_losses(out / "log.jsonl", out / "losses.png")
    return out / "params"


def with_setting(detector: LearnedDetector, changes: dict[str, Any]) -> LearnedDetector:
    """The detector with some hyper-parameters changed; raises InputError for one that it does not have."""
    unknown = [name for name in changes if name not in detector.setting]
    if unknown:
        raise InputError(f"--{unknown[0]} is no option of {detector.name}; leave it out")
    return dataclasses.replace(detector, **changes)  # type: ignore[type-var]


AUXILIARY: dict[str, type[LabelledImages]] = {"cutpaste": PastedImages}


def training_samples(dataset: DataSet, auxiliary: str | None) -> tuple[Sample, ...]:
    """The test images of all categories; raises InputError unless some are defective.

    With `auxiliary`, samples made of the good training images; InputError unless there are some.
    """
    if auxiliary is not None:
        return pasted_samples(dataset)
    samples = tuple(s for name in dataset.categories for s in dataset.select(name, "test"))
    if not any(sample.label for sample in samples):
        raise InputError(
            f"{dataset.root}: no defective image in any test folder, so there is nothing to tell from good "
            "ones; give a data set with defects"
        )
    return samples


def training_images(
    config: TrainConfig, dataset: DataSet, samples: tuple[Sample, ...], detector: LearnedDetector
) -> LabelledImages:
    """The samples as batches; raises InputError where masks are absent that the method needs."""
    lacking = None if config.auxiliary else next((s for s in samples if not s.has_mask), None)
    with_masks = lacking is None
    if lacking and not detector.learns_from_labels:
        raise InputError(
            f"{dataset.root}: has no masks for all its defects, and {config.method} learns from them "
            f"({lacking.path} has none, or one that marks nothing); draw it, or leave the image out"
        )
    if not with_masks and jax.process_index() == 0:
        tqdm.write(f"{config.dataset} has no masks for all its defects: only the image's term is trained")
    classes = {name: number for number, name in enumerate(dataset.categories)}
    kind = LabelledImages if config.auxiliary is None else AUXILIARY[config.auxiliary]
    return kind(samples, classes, detector.size, config.batch_size, config.seed, with_masks)


def check_batch(config: TrainConfig, detector: LearnedDetector, resources: Resources) -> None:
    """Raises InputError for a batch that does not divide, or a cache of what is itself learned."""
    parts = jax.device_count() * resources.accumulate
    if config.batch_size % parts:
        raise InputError(
            f"--batch_size={config.batch_size} does not divide over {jax.device_count()} devices with "
            f"--accumulate={resources.accumulate}; give a multiple of {parts}"
        )
    if config.cache_features and detector.setting.get("attention") == "diagonal":
        raise InputError("--cache_features keeps what --attention=diagonal learns; leave one of them out")


def remember(
    out: pathlib.Path, config: TrainConfig, detector: LearnedDetector, dataset: DataSet, clip: CLIP
) -> None:
    """Writes what the run depends on beside it, or checks that the run there has the same."""
    path = out / "train.json"
    described = {
        **{k: list(x) if isinstance(x, tuple) else x for k, x in dataclasses.asdict(config).items()},
        "setting": detector.setting,
        "data_fingerprint": dataset.fingerprint,
        "weights_fingerprint": clip.fingerprint,
        "software": software_versions(),
    }
    if not path.exists():
        if any((out / name).exists() for name in ("checkpoints", "log.jsonl", "params")):
            raise InputError(f"{out}: holds a run that is not known; give another --out")
        if jax.process_index() == 0:
            write_json(path, described)
        return
    try:
        there = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error}); give another --out") from error
    changed = [name for name in described if there.get(name) != described[name]]
    if changed:
        differences = ", ".join(f"{name} {there.get(name)} there, {described[name]} here" for name in changed)
        raise InputError(f"{out}: holds another run ({differences}); give another --out or the same flags")
