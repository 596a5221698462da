"""Contenders taking turns, and what came of it."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.precision import check_trainable, dtype_of
from vlmad_jax.benchmark.contender import Contender, Round, Start
from vlmad_jax.benchmark.peers import OPEN_CLIP_NAMES, PEER_METHODS, Peer
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.child_process import in_process

Results = dict[str, Any]
Build = tuple[Callable[..., Any], str]  # the class of a contender, and its dtype


def run(
    setting: Setting,
    dtypes: Sequence[str],
    repeats: int = 5,
    seconds: float = 120.0,
    against: str | None = None,
) -> Results:
    """Measures a setting in each dtype and, if asked for, a peer beside it, with a progress bar.

    Each contender has a process of its own. They are started one after the other (weights, compilation,
    warm-up) and then measured in rounds, each taking its turn in every round, so that a machine that slows
    down slows all of them. On a TPU, which one process holds at a time, give one dtype and no peer.

    Args:
      setting: what to measure.
      dtypes: of "float32", "bfloat16" and "int8".
      repeats: rounds.
      seconds: no further round begins after this many seconds of rounds; one always does.
      against: the name of a peer in `PEERS`, measured in each of the dtypes too.

    Returns:
      `machine` and `load_average` of the minute before; `setting`; `gflop_per_image`; in `contenders` by
      name what `summary` gives; and with a peer, `ratios` and `differences` of each of ours and each of its
      (`comparison`). It holds what JSON can.

    Raises:
      InputError: an unknown dtype, none or one twice, no round, too little memory, or a peer that is not
        known, not installed, or does not do this.
    """
    for dtype in dtypes:
        check = dtype_of if setting.work == "score" else check_trainable
        check(dtype)
    if not dtypes or len(set(dtypes)) < len(dtypes):
        raise InputError(f"--dtypes={','.join(dtypes)} has to name each dtype once, and at least one")
    if repeats < 1:
        raise InputError(f"--repeats={repeats} measures nothing; give 1 or more")
    ours: dict[str, Build] = {dtype: (Contender, dtype) for dtype in dtypes}
    theirs: dict[str, Build] = {} if against is None else peers_of(against, setting, dtypes)
    load_average = os.getloadavg()[0]
    starts, rounds, scores = take_turns(setting, ours | theirs, repeats, seconds, keep_scores=bool(theirs))
    first = starts[dtypes[0]]
    results: Results = {
        "machine": first.machine,
        "load_average": load_average,
        "setting": {
            "method": setting.method,
            "work": setting.work,
            "arch": setting.arch,
            "batch_size": setting.batch_size,
            **{k: list(x) if isinstance(x, tuple) else x for k, x in setting.options.chosen().items()},
            "shots": setting.shots,
        },
        "gflop_per_image": {
            "published": setting.published_flop / 1e9,
            "executed": first.executed_flop / 1e9,
        },
        "contenders": {name: summary(setting, starts[name], rounds[name]) for name in starts},
    }
    if theirs:
        results |= comparison(list(ours), list(theirs), rounds, scores)
        results["machine"] |= starts[next(iter(theirs))].machine
    return results


def take_turns(
    setting: Setting,
    contenders: Mapping[str, Build],
    repeats: int,
    seconds: float,
    keep_scores: bool,
) -> tuple[dict[str, Start], dict[str, list[Round]], dict[str, Any]]:
    """Starts every contender, (its class, its dtype) by name, and measures them in rounds.

    Returns their starts, rounds and, with `keep_scores`, what they made of the images.
    """
    starts: dict[str, Start] = {}
    rounds: dict[str, list[Round]] = {name: [] for name in contenders}
    bar = tqdm(total=len(contenders) * (1 + repeats), unit="step", leave=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(bar)
        ask = {
            name: stack.enter_context(in_process(build, setting, dtype))
            for name, (build, dtype) in contenders.items()
        }
        for name in contenders:
            bar.set_description(f"{name}: compiling")
            starts[name] = ask[name]("start")
            bar.update()
        began = time.perf_counter()
        for number in range(repeats):
            if number and time.perf_counter() - began > seconds:
                break
            for name in contenders:
                bar.set_description(f"{name}: round {number + 1} of {repeats}")
                rounds[name].append(ask[name]("round"))
                bar.update()
        scores = {name: ask[name]("scores") for name in contenders if keep_scores}
    return starts, rounds, scores


def peers_of(against: str, setting: Setting, dtypes: Sequence[str]) -> dict[str, Build]:
    """The contenders of a peer; InputError if it cannot be compared with."""
    if against not in PEER_METHODS:
        raise InputError(f"--against={against} is not one of {', '.join(PEER_METHODS)}; give one of these")
    if setting.method not in PEER_METHODS[against] or setting.arch not in OPEN_CLIP_NAMES:
        raise InputError(
            f"--against={against} does --method={' or '.join(PEER_METHODS[against])} "
            f"with --arch={' or '.join(OPEN_CLIP_NAMES)}; give these"
        )
    if setting.work != "score" or setting.shots:
        raise InputError(f"--against={against} is for --work=score and --shots=0; leave the others out")
    if not setting.is_published or "int8" in dtypes:
        raise InputError(
            f"--against={against} does what is published; leave --window_stride, --merge_tokens, "
            "--multi_scale_sizes and int8 out"
        )
    return {f"{against} {dtype}": (Peer, dtype) for dtype in dtypes}


def comparison(
    ours: Sequence[str],
    theirs: Sequence[str],
    rounds: Mapping[str, Sequence[Round]],
    scores: Mapping[str, tuple[Any, Any]],
) -> Results:
    """How many times as fast each of ours is as each of theirs, and the largest difference of their maps.

    A ratio is the median over rounds, each of which has both.
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


def summary(setting: Setting, start: Start, rounds: Sequence[Round]) -> Results:
    """The figures of one contender.

    `images_per_second` over the rounds; `compile_seconds`, the first call less a median one;
    `peak_memory_bytes`; `matmul`, the highest rate of any shape in any round, since other work on the machine
    only ever lowers a peak; `share_of_matmul_rate`, the image's work, as published and as our program does
    it, times the median images a second over that rate. As less is executed than published, the published
    share can pass 1.
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
