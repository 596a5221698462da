"""What the entry points share: flags, the run of an evaluation, and errors without a traceback."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from absl import app, flags, logging

from vlmad_jax.backbones.checkpoints.hub import BUNDLED, is_bundled
from vlmad_jax.commands import calling
from vlmad_jax.commands.paths import define_path, expanded
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.evaluate import EvaluationConfig, Shard, evaluate
from vlmad_jax.methods import METHODS, MethodOptions, method
from vlmad_jax.report import metrics_table, published
from vlmad_jax.runtime.about import citation, version
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.compilation_cache import keep_programs
from vlmad_jax.runtime.names import allow_any_name_in_output, printable
from vlmad_jax.runtime.tracing import record_trace

flags.disclaim_key_flags()  # they are the entry points', whose --help shows them

ABOUT_BUNDLED = f"""\
{BUNDLED} is a very small model trained on rendered images: it is for trying the software, not for
judging parts or methods. For real figures give --weights=openai/clip-vit-base-patch16,
--weights=openai/clip-vit-large-patch14-336 or the directory of an open_clip checkpoint; see
weights/README.md."""


# The best mean of the tables in docs/results.md, and it works from words where there are no references.
DEFAULT_METHOD = "winclip"
OPTIONS = tuple(option.name for option in dataclasses.fields(MethodOptions))
# How the flag of an option is defined, by the option's type.
DEFINE: dict[Any, Callable[..., Any]] = {
    "tuple[int, ...] | None": flags.DEFINE_list,
    "int | None": flags.DEFINE_integer,
    "str | None": define_path,
}


def define_model_flags() -> None:
    """Defines the flags of a backbone."""
    define_path("weights", BUNDLED, "A checkpoint's directory or Hugging Face hub id.")
    flags.DEFINE_string(
        "dtype", "float32", "float32, bfloat16 for faster matrix products, or int8, which trades accuracy."
    )


def define_method_options(names: Sequence[str] = OPTIONS) -> None:
    """Defines a flag for each of the named options of methods."""
    for option in dataclasses.fields(MethodOptions):
        if option.name in names:
            DEFINE[option.type](option.name, None, option.metadata["help"])


def define_workers_flag() -> None:
    """Defines the flag of how images are decoded."""
    flags.DEFINE_integer("workers", 0, "Processes that decode images; 0 decodes in threads.", lower_bound=0)


def define_shared_flags() -> None:
    """Defines the flags that every evaluation has."""
    define_model_flags()
    define_workers_flag()
    flags.DEFINE_string(
        "dataset", "synthetic", "mvtec_ad, visa, elpv, textures, synthetic, or folder for yours."
    )
    define_path("data_dir", None, "Where it is; elpv, textures and synthetic need none.")
    flags.DEFINE_list("categories", [], "Categories to run; all if not given.")
    flags.DEFINE_integer("batch_size", 16, "Images scored together, by all devices.", lower_bound=1)
    define_path("out", None, "Folder of the results; results/<experiment>/<a name of the run>.")
    flags.DEFINE_bool("resume", True, "Keep what an interrupted run finished.")


def define_flags(sample_flags: bool = False) -> None:
    """Defines the flags of one evaluation; with `sample_flags` also those that choose good samples."""
    define_shared_flags()
    define_method_options()
    flags.DEFINE_string("method", DEFAULT_METHOD, f"The system to evaluate: {', '.join(METHODS)}.")
    flags.DEFINE_integer("seed", 0, "Of the draw of good samples.", lower_bound=0)
    flags.DEFINE_bool("save_maps", False, "Also write an image of each anomaly map.")
    flags.DEFINE_integer("shards", None, "How many runs of this command share --out, perhaps on other hosts.")
    flags.DEFINE_integer(
        "shard", None, "Which of them this is, from 0: it evaluates its share of the categories."
    )
    define_path("trace", None, "Folder of a trace of the run, for https://ui.perfetto.dev or xprof.")
    if sample_flags:
        flags.DEFINE_string("shots", "4", "Good samples of each category, or all.")
        define_path("reference_list", None, "A references.json, whose images are used instead of drawn ones.")


def shots_from(value: str) -> int | Literal["all"]:
    """A number of good samples, or "all"."""
    if value == "all":
        return "all"
    if not value.isdecimal():
        raise InputError(f"--shots={value} is not a number of images; give for example 4, or all")
    return int(value)


def numbers_from(name: str, values: Sequence[str]) -> tuple[int, ...]:
    """The value of a flag that lists whole numbers."""
    if not all(value.isdecimal() for value in values):
        raise InputError(
            f"--{name}={','.join(values)} are not whole numbers of 0 or more; give for example 0,1,2"
        )
    return tuple(map(int, values))


def method_options(names: Sequence[str] = OPTIONS) -> MethodOptions:
    """Return what the flags of `define_method_options` choose."""
    chosen: dict[str, Any] = {}
    for name in names:
        value: Any = flags.FLAGS[name].value
        chosen[name] = sizes_from(name, value) if isinstance(value, list) else value
    return MethodOptions(**chosen)


def sizes_from(name: str, values: Sequence[str]) -> tuple[int, ...]:
    """The value of a flag that lists sizes, as numbers."""
    try:
        return tuple(int(size) for size in values)
    except ValueError:
        sizes = ",".join(values)
        raise InputError(f"--{name}={sizes} are not whole numbers; give for example 2,3") from None


def shared_settings() -> dict[str, Any]:
    """What the flags of `define_shared_flags` say of an evaluation."""
    values = flags.FLAGS
    return {
        "weights": values.weights,
        "dataset": values.dataset,
        "data_dir": values.data_dir,
        "categories": tuple(values.categories),
        "batch_size": values.batch_size,
        "dtype": values.dtype,
    }


def config_from_flags(shots: int | Literal["all"] = 0, reference_list: str | None = None) -> EvaluationConfig:
    """The evaluation that the flags ask for."""
    values = flags.FLAGS
    return EvaluationConfig(
        method=values.method,
        **shared_settings(),
        seed=values.seed,
        options=method_options(),
        shots=shots,
        reference_list=reference_list,
    )


def shard_from_flags() -> Shard | None:
    """The share of this process in an evaluation; None if it does all."""
    shard, shards = flags.FLAGS.shard, flags.FLAGS.shards
    if shard is None and shards is None:
        return None
    if shard is None or shards is None or not 0 <= shard < shards:
        raise InputError(
            f"--shard={shard} --shards={shards}: give both, the first from 0 and below the second"
        )
    return Shard(shard, shards)


def out_from_flags(experiment: str, config: EvaluationConfig) -> Path:
    """`--out`, or a folder whose name changes with the configuration."""
    if flags.FLAGS.out:
        return Path(flags.FLAGS.out)
    return folder(experiment, config, config.method, config.dataset)


def folder(experiment: str, config: Any, *names: str) -> Path:
    """A folder below `results` whose name changes with the configuration, a dataclass."""
    digest = fingerprint([repr(dataclasses.astuple(config))])[:8]
    return Path("results") / experiment / "-".join([*names, digest])


def run(config: EvaluationConfig, out: Path, shard: Shard | None = None) -> None:
    """Runs an evaluation, or this process's part of it, and prints its table."""
    values = flags.FLAGS
    trace = values.trace if "trace" in values else None
    with record_trace(trace) if trace else contextlib.nullcontext():
        results = evaluate(config, out, values.resume, values.save_maps, values.workers, shard=shard)
    if not results:
        print(
            f"done with this shard; the last shard to end writes {out / 'metrics.json'}, "
            "or any that is run again"
        )
        return
    print(
        metrics_table(
            results["categories"], results["mean"], published(config.method, config.dataset, config.shots)
        )
    )
    print(f"\nresults are in {out}")
    mention_bundled(config.weights)


def mention_bundled(weights: str) -> None:
    """Says what the bundled weights are, if it is they."""
    if is_bundled(weights):
        print(f"\n{ABOUT_BUNDLED}")


def check_arguments(given: Sequence[str], names: Sequence[str]) -> None:
    """Raises InputError unless there is an argument for each name; for one that ends in "..." also more."""
    usage = f"{calling.command(calling.own_name())} {' '.join(names)} [--flags]"
    if len(given) < len(names):
        raise InputError(f"{names[len(given)].removesuffix('...')} is missing; the command is {usage}")
    if len(given) > len(names) and not (names and names[-1].endswith("...")):
        culprit = f"{given[len(names)]!r} is not a flag; flags are written --name=value"
        raise InputError(culprit + (f", and the command is {usage}" if names else ""))


def define_about_flags() -> None:
    """Defines the flags that end a command at once."""
    app.define_help_flags()
    if "version" not in flags.FLAGS:
        flags.DEFINE_bool("version", False, "Print the version, and nothing else.")
        flags.DEFINE_bool("cite", False, "Print what to cite, as BibTeX: the software and --method's paper.")


def parsed_arguments() -> list[str]:
    """Parses the flags; the arguments that are none, `~` expanded in them, for they are paths.

    Ends after --help, which absl takes for a failure, --version and --cite.
    """
    given = ["--help" if argument == "-h" else argument for argument in sys.argv]
    main_module = sys.modules["__main__"]
    if main_module.__doc__:  # which --help prints
        main_module.__doc__ = calling.in_words_of_caller(main_module.__doc__)
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
    """The methods that --method or --methods names."""
    values = flags.FLAGS
    names = list(values.methods) if "methods" in values else []
    if "method" in values and values.method:
        names.append(values.method)
    for name in names:
        method(name)  # raises InputError of an unknown one
    return names


def main(entry: Callable[..., int | None], *names: str) -> None:
    """Parses the flags and calls `entry` with the arguments that are no flags; exits with what it returns.

    Bad input is one line on stderr and exit code 1. `names` are those of the arguments, for people; the last
    may end in "..." for one or more.
    """
    allow_any_name_in_output()
    define_about_flags()
    logging.set_verbosity(logging.WARNING)  # orbax and grain tell of every file they touch
    keep_programs()
    try:
        arguments = parsed_arguments()
        check_arguments(arguments, names)
        if code := entry(*arguments):
            sys.exit(code)
    except flags.Error as error:
        text = printable(" ".join(str(error).split()))
        print(f"error: {text}; --help lists the flags", file=sys.stderr)
        sys.exit(1)
    except InputError as error:
        print(f"error: {calling.in_words_of_caller(printable(str(error)))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; what is done is kept", file=sys.stderr)
        sys.exit(130)
