"""Contenders taking turns, and what came of it."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from vlmad_jax.benchmark.contender import Contender, Round, Start
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.clip.precision import dtype_of
from vlmad_jax.errors import InputError
from vlmad_jax.process import in_process

Results = dict[str, Any]


def run(setting: Setting, dtypes: Sequence[str], repeats: int = 5, seconds: float = 120.0) -> Results:
    """Measures a setting in each dtype, with a progress bar.

    Each dtype has a process of its own. They are started one after the other (weights, compilation, warm-up)
    and then measured in rounds, each taking its turn in every round, so that a machine that slows down slows
    all of them. On a TPU, which one process holds at a time, give one dtype.

    Args:
      setting: what to measure.
      dtypes: of "float32" and "bfloat16".
      repeats: rounds.
      seconds: no further round begins after this many seconds of rounds; one always does.

    Returns:
      `machine` and `load_average` of the minute before; `setting`; `gflop_per_picture`; and in `dtypes` by
      name what `summary` gives. It holds what JSON can.

    Raises:
      InputError: an unknown dtype, none or one twice, no round, or too little memory.
    """
    for dtype in dtypes:
        dtype_of(dtype)
    if not dtypes or len(set(dtypes)) < len(dtypes):
        raise InputError(f"--dtypes={','.join(dtypes)} has to name each dtype once, and at least one")
    if repeats < 1:
        raise InputError(f"--repeats={repeats} measures nothing; give 1 or more")
    load_average = os.getloadavg()[0]
    starts: dict[str, Start] = {}
    rounds: dict[str, list[Round]] = {dtype: [] for dtype in dtypes}
    bar = tqdm(total=len(dtypes) * (1 + repeats), unit="step", leave=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(bar)
        ask = {dtype: stack.enter_context(in_process(Contender, setting, dtype)) for dtype in dtypes}
        for dtype in dtypes:
            bar.set_description(f"{dtype}: compiling")
            starts[dtype] = ask[dtype]("start")
            bar.update()
        began = time.perf_counter()
        for number in range(repeats):
            if number and time.perf_counter() - began > seconds:
                break
            for dtype in dtypes:
                bar.set_description(f"{dtype}: round {number + 1} of {repeats}")
                rounds[dtype].append(ask[dtype]("round"))
                bar.update()
    first = starts[dtypes[0]]
    return {
        "machine": first.machine,
        "load_average": load_average,
        "setting": {
            "method": setting.method,
            "work": setting.work,
            "arch": setting.arch,
            "batch_size": setting.batch_size,
            "window_sizes": setting.window_sizes and list(setting.window_sizes),
            "shots": setting.shots,
        },
        "gflop_per_picture": {
            "published": setting.published_flop / 1e9,
            "executed": first.executed_flop / 1e9,
        },
        "dtypes": {dtype: summary(setting, starts[dtype], rounds[dtype]) for dtype in dtypes},
    }


def summary(setting: Setting, start: Start, rounds: Sequence[Round]) -> Results:
    """The figures of one dtype.

    `pictures_per_second` over the rounds; `compile_seconds`, the first call less a median one;
    `peak_memory_bytes`; `matmul`, the highest rate of any shape in any round, since other work on the machine
    only ever lowers a peak; `share_of_matmul_rate`, the picture's work, as published and as our program does
    it, times the median pictures a second over that rate. As less is executed than published, the published
    share can pass 1.
    """
    speeds = [setting.batch_size / measured.call for measured in rounds]
    speed = statistics.median(speeds)
    rate, shape = max((rate, shape) for measured in rounds for shape, rate in measured.matmul.items())
    compiling = start.first_call - statistics.median(measured.call for measured in rounds)
    return {
        "rounds": len(rounds),
        "pictures_per_second": {"median": speed, "min": min(speeds), "max": max(speeds)},
        "compile_seconds": max(0.0, compiling),
        "peak_memory_bytes": start.peak_memory,
        "matmul": {"shape": list(shape), "gflop_per_second": rate / 1e9},
        "share_of_matmul_rate": {
            "published": setting.published_flop * speed / rate,
            "executed": start.executed_flop * speed / rate,
        },
    }
