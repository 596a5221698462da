"""The flags of the commands that train, and the training run they describe."""

from __future__ import annotations

from pathlib import Path

import jax
from absl import flags

from vlmad_jax.backbones.attention import KERNELS
from vlmad_jax.backbones.checkpoints.hub import BUNDLED
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.methods import LEARNING
from vlmad_jax.training.train import AUXILIARY, Resources, TrainConfig, train_method

flags.disclaim_key_flags()  # so that --help of a command shows them as the command's own

DEFAULT, RESOURCES = TrainConfig("", "", ""), Resources()
WHOLE_NUMBERS = ("dpam_layers", "context_length", "deep_depth", "deep_length")


def define() -> None:
    """Define the flags."""
    flags.DEFINE_string("method", None, f"The method to train: {', '.join(LEARNING)}.")
    define_path("weights", BUNDLED, "The backbone: a checkpoint's directory or Hugging Face hub id.")
    flags.DEFINE_integer(
        "epochs",
        DEFAULT.epochs,
        "Number of times every image is seen; 0 is mrad without training.",
        lower_bound=0,
    )
    flags.DEFINE_integer("batch_size", DEFAULT.batch_size, "Images a step, over all devices.", lower_bound=1)
    flags.DEFINE_float(
        "learning_rate",
        None,
        "Adam's learning rate; the published one of the method if not given.",
        lower_bound=0.0,
    )
    flags.DEFINE_integer(
        "seed", DEFAULT.seed, "Seed of the parameters and of the order of the images.", lower_bound=0
    )
    flags.DEFINE_string("dtype", DEFAULT.dtype, "float32, or bfloat16 for faster matrix products.")
    flags.DEFINE_bool(
        "cache_features", DEFAULT.cache_features, "Encode every image once and reuse its features."
    )
    flags.DEFINE_string(
        "auxiliary",
        None,
        "Train on the data set's normal training images with synthetic defects: "
        f"{', '.join(AUXILIARY)} pastes patches, scars and blots. Without it, train on the test images.",
    )
    flags.DEFINE_float(
        "cache_gigabytes", RESOURCES.cache_gigabytes, "Cached features larger than this are on disk."
    )
    flags.DEFINE_integer(
        "accumulate", RESOURCES.accumulate, "Parts that a batch is split into to save memory.", lower_bound=1
    )
    flags.DEFINE_integer("save_every", RESOURCES.save_every, "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer(
        "workers", RESOURCES.workers, "Processes that decode images; 0 decodes in threads.", lower_bound=0
    )
    flags.DEFINE_list("image_size", None, "Side of the images in pixels, or height,width.")
    flags.DEFINE_integer("dpam_layers", None, "Number of last vision layers with DPAM; 0 is plain CLIP.")
    flags.DEFINE_list("feature_layers", None, "Vision layers to compare with the prompts, from 1.")
    flags.DEFINE_integer("context_length", None, "Number of learned tokens of each prompt.")
    flags.DEFINE_integer("deep_depth", None, "Number of text layers with learned tokens.")
    flags.DEFINE_integer("deep_length", None, "Number of learned tokens of each such text layer.")
    flags.DEFINE_float("blur_sigma", None, "Standard deviation of the blur of the anomaly map, in pixels.")
    flags.DEFINE_enum("attention", None, sorted(set(KERNELS) - {"causal"}), "Attention kernel of DPAM.")
    flags.DEFINE_string("coordinator", None, "Address host:port of the first of several processes.")
    flags.DEFINE_integer("processes", None, "Number of processes.")
    flags.DEFINE_integer("process", None, "Number of this process, from 0.")


def join_processes() -> None:
    """Connect the processes of several hosts if the flags name them."""
    values = flags.FLAGS
    given = (values.coordinator, values.processes, values.process)
    if given == (None, None, None):
        return
    if None in given:
        raise InputError("--coordinator, --processes and --process go together; give all three")
    jax.distributed.initialize(values.coordinator, values.processes, values.process)


def setting() -> dict[str, object]:
    """Return the hyper-parameters of the method that the flags give."""
    values = flags.FLAGS
    given: dict[str, object] = {name: getattr(values, name) for name in WHOLE_NUMBERS}
    given |= {"blur_sigma": values.blur_sigma, "attention": values.attention}
    try:
        layers = values.feature_layers and tuple(int(layer) for layer in values.feature_layers)
    except ValueError:
        text = ",".join(values.feature_layers)
        raise InputError(f"--feature_layers={text} must be whole numbers; give for example 6,12") from None
    given |= {"feature_layers": layers, "image_size": image_size_from(values.image_size)}
    return {name: value for name, value in given.items() if value is not None}


def image_size_from(values: list[str] | None) -> int | tuple[int, ...] | None:
    """Return the value of `--image_size`: a side, or (height, width)."""
    if not values:
        return None
    if len(values) > 2 or not all(value.isdecimal() for value in values):
        text = ",".join(values)
        raise InputError(f"--image_size={text} is neither a side nor height,width; give for example 336")
    sides = tuple(map(int, values))
    return sides if len(sides) == 2 else sides[0]


def config(dataset: str, data_dir: str | None, categories: tuple[str, ...] = ()) -> TrainConfig:
    """Return the training that the flags describe, on that data set."""
    values = flags.FLAGS
    if values.method is None:
        raise InputError(f"--method is missing; give one of {', '.join(LEARNING)}")
    return TrainConfig(
        method=values.method,
        weights=values.weights,
        dataset=dataset,
        data_dir=data_dir,
        categories=categories,
        setting=tuple(sorted(setting().items())),
        epochs=values.epochs,
        batch_size=values.batch_size,
        learning_rate=values.learning_rate,
        seed=values.seed,
        dtype=values.dtype,
        cache_features=values.cache_features,
        auxiliary=values.auxiliary,
    )


def resources() -> Resources:
    """Return the resources that the flags describe."""
    values = flags.FLAGS
    return Resources(values.workers, values.accumulate, values.save_every, values.cache_gigabytes)


def run(config: TrainConfig, out: Path) -> Path | None:
    """Train, print where the parameters are, and return that path, or None if the run was stopped."""
    params = train_method(config, out, resources())
    finished = params.exists()
    if jax.process_index() == 0:
        if finished:
            curves = f", and the loss curves in {out / 'losses.png'}" if config.epochs else ""
            print(f"the parameters are in {params}{curves}")
        else:
            print(f"stopped after saving a checkpoint; run the same command again to resume {out}")
    return params if finished else None
