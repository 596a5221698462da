"""What the entry points that train share: flags, and the run of a training."""

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

flags.disclaim_key_flags()  # they are the entry points', whose --help shows them

DEFAULT, RESOURCES = TrainConfig("", "", ""), Resources()
WHOLE_NUMBERS = ("image_size", "dpam_layers", "context_length", "deep_depth", "deep_length")


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string("method", None, f"The method to train: {', '.join(LEARNING)}.")
    define_path("weights", BUNDLED, "The backbone: a checkpoint's directory or Hugging Face hub id.")
    flags.DEFINE_integer("epochs", DEFAULT.epochs, "Times that every image is seen.", lower_bound=1)
    flags.DEFINE_integer("batch_size", DEFAULT.batch_size, "Images a step, of all devices.", lower_bound=1)
    flags.DEFINE_float("learning_rate", DEFAULT.learning_rate, "Of Adam.", lower_bound=0.0)
    flags.DEFINE_integer("seed", DEFAULT.seed, "Of parameters and the images' order.", lower_bound=0)
    flags.DEFINE_string("dtype", DEFAULT.dtype, "float32, or bfloat16 for faster matrix products.")
    flags.DEFINE_bool("cache_features", DEFAULT.cache_features, "Encode every image only once.")
    flags.DEFINE_string(
        "auxiliary",
        None,
        "Learn from the data set's good training images alone, with synthetic defects: "
        f"{', '.join(AUXILIARY)} pastes patches, scars and blots. If not given, from its test images.",
    )
    flags.DEFINE_float("cache_gigabytes", RESOURCES.cache_gigabytes, "Features beyond this go to disk.")
    flags.DEFINE_integer("accumulate", RESOURCES.accumulate, "Parts of a batch in turn.", lower_bound=1)
    flags.DEFINE_integer("save_every", RESOURCES.save_every, "Steps between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("workers", RESOURCES.workers, "Processes that decode; 0 is threads.", lower_bound=0)
    flags.DEFINE_integer("image_size", None, "Side of the images in pixels.")
    flags.DEFINE_integer("dpam_layers", None, "Last vision layers with DPAM; 0 is plain CLIP.")
    flags.DEFINE_list("feature_layers", None, "Vision layers that are compared with the prompts, from 1.")
    flags.DEFINE_integer("context_length", None, "Learned tokens of each prompt.")
    flags.DEFINE_integer("deep_depth", None, "Text layers with learned tokens.")
    flags.DEFINE_integer("deep_length", None, "Learned tokens of each of them.")
    flags.DEFINE_float("blur_sigma", None, "Blur of the map in pixels.")
    flags.DEFINE_enum("attention", None, sorted(set(KERNELS) - {"causal"}), "Kernel of DPAM.")
    flags.DEFINE_string("coordinator", None, "Address host:port of the first of several processes.")
    flags.DEFINE_integer("processes", None, "How many processes there are.")
    flags.DEFINE_integer("process", None, "Which of them this is, from 0.")


def join_processes() -> None:
    """Joins the processes of several hosts, if the flags say that there are some."""
    values = flags.FLAGS
    given = (values.coordinator, values.processes, values.process)
    if given == (None, None, None):
        return
    if None in given:
        raise InputError("--coordinator, --processes and --process go together; give all three")
    jax.distributed.initialize(values.coordinator, values.processes, values.process)


def setting() -> dict[str, object]:
    """The hyper-parameters of the method that were given."""
    values = flags.FLAGS
    given: dict[str, object] = {name: getattr(values, name) for name in WHOLE_NUMBERS}
    given |= {"blur_sigma": values.blur_sigma, "attention": values.attention}
    try:
        layers = values.feature_layers and tuple(int(layer) for layer in values.feature_layers)
    except ValueError:
        text = ",".join(values.feature_layers)
        raise InputError(f"--feature_layers={text} are not whole numbers; give for example 6,12") from None
    given |= {"feature_layers": layers}
    return {name: value for name, value in given.items() if value is not None}


def config(dataset: str, data_dir: str | None, categories: tuple[str, ...] = ()) -> TrainConfig:
    """The training that the flags ask for, on that data set."""
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
    """What the flags let the run use."""
    values = flags.FLAGS
    return Resources(values.workers, values.accumulate, values.save_every, values.cache_gigabytes)


def run(config: TrainConfig, out: Path) -> Path | None:
    """Trains, says where the parameters are and returns it; None if the run was stopped on the way."""
    params = train_method(config, out, resources())
    finished = params.exists()
    if jax.process_index() == 0:
        if finished:
            print(f"the parameters are in {params}, the curve of their loss in {out / 'losses.png'}")
        else:
            print(f"stopped and saved; the same command goes on with {out}")
    return params if finished else None
