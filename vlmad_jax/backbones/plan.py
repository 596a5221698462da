"""The choices by which programs differ on CPUs and on accelerators, made while they are traced."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import jax

# The number of tokens that an encoder computes together. The hidden layer of more tokens does not fit a CPU's
# caches. An accelerator of unknown memory computes OTHER_TOKENS, and others as many as a quarter of their
# memory holds, at TOKEN_BYTES for all arrays of one token in a layer of the widest published backbone.
CPU_TOKENS, OTHER_TOKENS, MOST_TOKENS = 1024, 8192, 65536
TOKEN_BYTES = 2**17
# The number of attention weights, one for each pair of tokens, that fit a CPU's caches: 8 MiB of float32. On
# accelerators the weights, their logits and a copy of either take a sixteenth of the memory.
CPU_PAIRS, OTHER_PAIRS = 2**21, 2**27
PAIR_BYTES = 12
# The compute capability from which cuDNN has attention in bfloat16 that stores no weights.
CUDNN_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Plan:
    """The choices that depend on the device.

    Attributes:
      platform: "cpu", or another backend of JAX.
      chunk_tokens: The number of tokens that an encoder computes together.
      attention_pairs: The number of attention weights that are computed together.
      long_attention: The way of bfloat16 attention of 256 tokens or more: "plain", or "cudnn".
      rounds_products: Whether products of bfloat16 with weights are rounded to bfloat16, after the sums in
        float32. This halves the memory traffic of their results, which limits accelerators.
    """

    platform: str
    chunk_tokens: int
    attention_pairs: int
    long_attention: str = "plain"
    rounds_products: bool = False


CPU = Plan("cpu", CPU_TOKENS, CPU_PAIRS)

_chosen: contextvars.ContextVar[Plan | None] = contextvars.ContextVar("plan", default=None)


def current_plan() -> Plan:
    """Return the plan of `using`, or that of JAX's default device."""
    chosen = _chosen.get()
    return plan_of_device() if chosen is None else chosen


@contextlib.contextmanager
def using(plan: Plan) -> Iterator[None]:
    """Trace programs with another plan than that of the default device."""
    token = _chosen.set(plan)
    try:
        yield
    finally:
        _chosen.reset(token)


def plan_of_device() -> Plan:
    """Return the plan of JAX's default device."""
    platform = jax.default_backend()
    if platform == "cpu":
        return CPU
    device = jax.local_devices()[0]
    plan = plan_of_memory(platform, (device.memory_stats() or {}).get("bytes_limit"))
    if platform == "gpu" and capability(device) >= CUDNN_CAPABILITY:
        plan = dataclasses.replace(plan, long_attention="cudnn")
    return plan


def plan_of_memory(platform: str, memory: int | None) -> Plan:
    """Return the plan of an accelerator with that many bytes of memory; None is unknown.

    >>> plan_of_memory("gpu", 60 * 10**9).chunk_tokens
    65536
    >>> plan_of_memory("gpu", 6 * 10**9).chunk_tokens
    8192
    """
    rounds = platform in ("gpu", "cuda")
    if memory is None:
        return Plan(platform, OTHER_TOKENS, OTHER_PAIRS, rounds_products=rounds)
    fitting = max(1, memory // 4 // TOKEN_BYTES)
    tokens = min(MOST_TOKENS, max(CPU_TOKENS, 1 << (fitting.bit_length() - 1)))
    return Plan(platform, tokens, memory // 16 // PAIR_BYTES, rounds_products=rounds)


def plan_of_platform(platform: str) -> Plan:
    """Return the plan of a platform of `jax.export`, on whose devices nothing else is known."""
    return CPU if platform == "cpu" else plan_of_memory(platform, None)


def capability(device: jax.Device) -> tuple[int, ...]:
    """Return the compute capability of a GPU, (9, 0) for Hopper; () if it has none."""
    parts = str(getattr(device, "compute_capability", "")).split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()
