"""The time of each kernel in a scored batch, from a trace of `jax.profiler`, and the compiled program."""

from __future__ import annotations

import collections
import gzip
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.benchmark.accelerator.records import Records, recorded
from vlmad_jax.benchmark.accelerator.sizes import Sizes
from vlmad_jax.benchmark.jobs import random_state
from vlmad_jax.benchmark.random_inputs import draw_clip, draw_images, draw_text

CALLS, ROWS = 3, 30


def trace(records: Records, sizes: Sizes, method: str) -> None:
    """Record the kernels that take most of the time of a batch in bfloat16, and keep the compiled program."""
    batch, config = sizes.middle[method], sizes.backbones[method]
    detector = sizes.setting(method, batch).detector(draw_clip(config, "bfloat16"))
    state = random_state(detector, 0)._replace(text=jnp.asarray(draw_text(config)))
    images = jnp.asarray(draw_images(batch, detector.size[0]))
    jax.block_until_ready(detector.score(state, images))
    with recorded(records, f"trace of {method}"):
        totals = kernel_times(lambda: detector.score(state, images))
        whole = sum(seconds for _, seconds in totals.values())
        for kernel, (calls, seconds) in sorted(totals.items(), key=lambda item: -item[1][1])[:ROWS]:
            records.add(
                "trace",
                method=method,
                batch=batch,
                kernel=kernel,
                calls=round(calls / CALLS, 1),
                milliseconds=seconds * 1e3 / CALLS,
                share=seconds / whole,
            )
    with recorded(records, f"program of {method}"):
        text = program(detector, state, images)
        (records.out / f"program_{method}.txt.gz").write_bytes(gzip.compress(text.encode()))


def kernel_times(call: Callable[[], Any]) -> dict[str, tuple[int, float]]:
    """Return the number and the seconds of all calls of each kernel, by its name without numbers."""
    totals: dict[str, tuple[int, float]] = collections.defaultdict(lambda: (0, 0.0))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(CALLS):
                result = call()
            jax.block_until_ready(result)
        for name, nanoseconds in events(Path(folder)):
            calls, seconds = totals[name]
            totals[name] = calls + 1, seconds + nanoseconds / 1e9
    return dict(totals)


def events(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield the name and the nanoseconds of each kernel in a trace, or of each operation on a CPU."""
    for path in folder.rglob("*.xplane.pb"):
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
        devices = [plane for plane in planes if plane.name.startswith("/device:GPU")]
        for plane in devices or [plane for plane in planes if "CPU" in plane.name]:
            lines = list(plane.lines)
            streams = [line for line in lines if "Stream" in line.name]
            for line in streams or lines:
                for event in line.events:
                    if devices or not re.search(r"::|^\$|^end: ", event.name):  # which are not operations
                        yield without_numbers(event.name), event.duration_ns


def without_numbers(name: str) -> str:
    """Return the name of a kernel without the numbers that tell equal kernels apart, at most 100 characters.

    >>> without_numbers("loop_add_fusion_12")
    'loop_add_fusion'
    """
    return re.sub(r"([._]\d+)+$", "", name)[:100]


def program(detector: Any, state: Any, images: jax.Array) -> str:
    """Return the compiled program of a detector's `score`, as XLA writes it, without its constants."""
    compiled = detector._score
    bound = getattr(compiled, "args", ())  # the variables, where they are arguments
    function = getattr(compiled, "func", compiled)
    return function.lower(*bound, state, images).compile().as_text()
