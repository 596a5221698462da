"""The speed of attention in several ways: plain products, and the two of `jax.nn`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones import attention
from vlmad_jax.backbones.plan import current_plan, using
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.benchmark.accelerator import timing
from vlmad_jax.benchmark.accelerator.records import Records, recorded
from vlmad_jax.benchmark.accelerator.sizes import Sizes


def plain(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Return attention by two products with a softmax between them."""
    with using(dataclasses.replace(current_plan(), long_attention="plain")):
        return attention.attend(q, k, v)


def by_library(
    implementation: Literal["cudnn", "xla"], q: jax.Array, k: jax.Array, v: jax.Array
) -> jax.Array:
    """Return the attention of `jax.nn`: (B, H, T, d) -> (B, H, T, d)."""
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    return jax.nn.dot_product_attention(q, k, v, implementation=implementation).swapaxes(1, 2)


WAYS: dict[str, Callable[..., jax.Array]] = {
    "plain products": plain,
    "cudnn": functools.partial(by_library, "cudnn"),
    "xla": functools.partial(by_library, "xla"),
}


def attend(records: Records, sizes: Sizes) -> None:
    """Record the time of every way for every shape, and its difference from float32 attention of a part."""
    for shape in sizes.attention:
        for dtype in ("bfloat16", "float32"):
            keys = jax.random.split(jax.random.key(0), 3)
            rows = [jax.random.normal(key, shape).astype(dtype_of(dtype)) for key in keys]
            exact = np.asarray(plain(*(x[:1].astype(jnp.float32) for x in rows)))
            for way, function in WAYS.items():
                if way == "cudnn" and dtype == "float32":  # which it has not
                    continue
                with recorded(records, f"attention {shape} {dtype} {way}"):
                    call = functools.partial(jax.jit(function), *rows)
                    apart = np.abs(np.asarray(call()[:1], np.float32) - exact).max()
                    seconds = timing.seconds_of_call(call, seconds=sizes.seconds / 2)
                    records.add(
                        "attention",
                        shape="x".join(map(str, shape)),
                        dtype=dtype,
                        way=way,
                        microseconds=seconds * 1e6,
                        tflops=4 * shape[0] * shape[1] * shape[2] ** 2 * shape[3] / seconds / 1e12,
                        difference=float(apart),
                    )
