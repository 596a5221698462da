"""The measurement of several implementations in turn, and its results."""

from __future__ import annotations

import contextlib
import functools
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.precision import check_trainable, dtype_of
from vlmad_jax.benchmark.jax_implementation import JaxImplementation, Round, Startup
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.benchmark.torch_implementation import OPEN_CLIP_NAMES, PEER_METHODS, TorchImplementation
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.child_process import in_process

Results = dict[str, Any]
Build = tuple[Callable[..., Any], str]  # the class of an implementation, and its dtype

# Other values of `Plan` to measure, by their label and the dtypes that they change.
CHOICES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "256 tokens": ({"chunk_tokens": 256}, ("float32", "bfloat16", "int8")),
    "4096 tokens": ({"chunk_tokens": 4096}, ("float32", "bfloat16", "int8")),
    "16384 tokens": ({"chunk_tokens": 16384}, ("float32", "bfloat16", "int8")),
    "rounded": ({"rounds_products": True}, ("bfloat16",)),
}


def run(
    setting: Setting,
    dtypes: Sequence[str],
    repeats: int = 5,
    seconds: float = 120.0,
    against: str | None = None,
    choices: bool = False,
) -> Results:
    """Measure a setting in each dtype, and optionally a peer, with a progress bar.

    Each implementation has its own process. All are started one after another (weights, compilation, warm-up)
    and then measured once in every round, so that a change of the machine's speed affects all of them. A TPU
    serves one process at a time: give one dtype and no peer.

    Args:
      setting: The setting to measure.
      dtypes: Some of "float32", "bfloat16" and "int8".
      repeats: The number of rounds.
      seconds: The time limit after which no new round starts, apart from the first.
      against: The name of a peer in `PEER_METHODS`, which is also measured in each of the dtypes.
      choices: Whether to measure each dtype with each of `CHOICES` too.

    Returns:
      A dict for JSON: `machine`; `load_average` of the minute before; `setting`; `gflop_per_image`;
      `implementations`, the `summary` of each by name; and with a peer the `ratios` and `differences` of
      `comparison`.

    Raises:
      InputError: A dtype is unknown or given twice; there is no dtype or no round; the memory is too small;
        or the peer is unknown, not installed, or does not support the setting.
    """
    for dtype in dtypes:
        check = dtype_of if setting.work == "score" else check_trainable
        check(dtype)
    if not dtypes or len(set(dtypes)) < len(dtypes):
        raise InputError(f"--dtypes={','.join(dtypes)}: give one dtype or more, each of them once")
    if repeats < 1:
        raise InputError(f"--repeats={repeats} is below 1; give 1 or more")
    ours: dict[str, Build] = {dtype: (JaxImplementation, dtype) for dtype in dtypes}
    if choices:
        ours |= chosen_otherwise(dtypes)
    theirs: dict[str, Build] = {} if against is None else peers_of(against, setting, dtypes)
    load_average = os.getloadavg()[0]
    options = {name: list(x) if isinstance(x, tuple) else x for name, x in setting.options.chosen().items()}
    starts, rounds, scores = measure_in_rounds(
        setting, ours | theirs, repeats, seconds, keep_scores=bool(theirs)
    )
    first = starts[dtypes[0]]
    results: Results = {
        "machine": first.machine,
        "load_average": load_average,
        "setting": {
            "method": setting.method,
            "work": setting.work,
            "arch": setting.arch,
            "batch_size": setting.batch_size,
            **options,
            "shots": setting.shots,
        },
        "gflop_per_image": {
            "published": setting.published_flop / 1e9,
            "executed": first.executed_flop / 1e9,
        },
        "implementations": {name: summary(setting, starts[name], rounds[name]) for name in starts},
    }
    if theirs:
        results |= comparison(list(ours), list(theirs), rounds, scores)
        results["machine"] |= starts[next(iter(theirs))].machine
    return results


def chosen_otherwise(dtypes: Sequence[str]) -> dict[str, Build]:
    """Return our implementation with each of `CHOICES` that changes a dtype, by name."""
    return {
        f"{dtype} {label}": (functools.partial(JaxImplementation, choices=values), dtype)
        for dtype in dtypes
        for label, (values, changed) in CHOICES.items()
        if dtype in changed
    }


def measure_in_rounds(
    setting: Setting,
    implementations: Mapping[str, Build],
    repeats: int,
    seconds: float,
    keep_scores: bool,
) -> tuple[dict[str, Startup], dict[str, list[Round]], dict[str, Any]]:
    """Start every implementation and measure all of them in rounds.

    Args:
      setting: The setting to measure.
      implementations: (class, dtype) by name.
      repeats: The number of rounds.
      seconds: The time limit after which no new round starts.
      keep_scores: Whether to return scores.

    Returns:
      By name: the results of starting, those of each round, and the scores with `keep_scores`.
    """
    starts: dict[str, Startup] = {}
    rounds: dict[str, list[Round]] = {name: [] for name in implementations}
    bar = tqdm(total=len(implementations) * (1 + repeats), unit="step", leave=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(bar)
        ask = {
            name: stack.enter_context(in_process(build, setting, dtype))
            for name, (build, dtype) in implementations.items()
        }
        for name in implementations:
            bar.set_description(f"{name}: compiling")
            starts[name] = ask[name]("start")
            bar.update()
        started = time.perf_counter()
        for number in range(repeats):
            if number and time.perf_counter() - started > seconds:
                break
            for name in implementations:
                bar.set_description(f"{name}: round {number + 1} of {repeats}")
                rounds[name].append(ask[name]("round"))
                bar.update()
        scores = {name: ask[name]("scores") for name in implementations if keep_scores}
    return starts, rounds, scores


def peers_of(against: str, setting: Setting, dtypes: Sequence[str]) -> dict[str, Build]:
    """Return the implementations of a peer, (class, dtype) by name.

    Raises:
      InputError: The peer is unknown or does not support the setting.
    """
    if against not in PEER_METHODS:
        raise InputError(f"--against={against} is not one of {', '.join(PEER_METHODS)}; give one of these")
    if setting.method not in PEER_METHODS[against] or setting.arch not in OPEN_CLIP_NAMES:
        raise InputError(
            f"--against={against} supports --method={' or '.join(PEER_METHODS[against])} "
            f"with --arch={' or '.join(OPEN_CLIP_NAMES)}; give these"
        )
    if setting.work != "score" or setting.shots:
        raise InputError(f"--against={against} supports --work=score and --shots=0 alone; drop other values")
    if not setting.is_published or "int8" in dtypes:
        raise InputError(
            f"--against={against} supports published settings alone; drop --window_stride, --merge_tokens, "
            "--multi_scale_sizes and int8"
        )
    return {f"{against} {dtype}": (TorchImplementation, dtype) for dtype in dtypes}


def comparison(
    ours: Sequence[str],
    theirs: Sequence[str],
    rounds: Mapping[str, Sequence[Round]],
    scores: Mapping[str, tuple[Any, Any]],
) -> Results:
    """Return the ratio of the speeds of each two implementations and the largest difference of their maps.

    A ratio is the median over rounds of the peer's time divided by ours.
    """

    def ratio(name: str, peer: str) -> float:
        pairs = zip(rounds[name], rounds[peer], strict=True)
        return statistics.median(theirs.call / ours.call for ours, theirs in pairs)

    def difference(name: str, peer: str) -> float:
        return float(np.abs(scores[name][1] - scores[peer][1]).max())

    return {
        "ratios": {name: {peer: ratio(name, peer) for peer in theirs} for name in ours},
        "differences": {name: {peer: difference(name, peer) for peer in theirs} for name in ours},
    }


def summary(setting: Setting, start: Startup, rounds: Sequence[Round]) -> Results:
    """Return the results of one implementation.

    Returns:
      `images_per_second` over the rounds; `compile_seconds`, the first call minus the median call;
      `peak_memory_bytes`; `matmul`, the highest rate of any shape in any round, since other work on the
      machine can only lower a rate; and `share_of_matmul_rate`, the published and the executed operations of
      an image times the median images a second, divided by that rate. The published share can exceed 1
      because fewer operations are executed.
    """
    speeds = [setting.batch_size / measured.call for measured in rounds]
    speed = statistics.median(speeds)
    rate, shape = max((rate, shape) for measured in rounds for shape, rate in measured.matmul.items())
    compiling = start.first_call - statistics.median(measured.call for measured in rounds)
    return {
        "rounds": len(rounds),
        "images_per_second": {"median": speed, "min": min(speeds), "max": max(speeds)},
        "compile_seconds": max(0.0, compiling),
        "peak_memory_bytes": start.peak_memory,
        "matmul": {"shape": list(shape), "gflop_per_second": rate / 1e9},
        "share_of_matmul_rate": {
            "published": setting.published_flop * speed / rate,
            "executed": start.executed_flop * speed / rate,
        },
    }
