"""The speed of scoring and training, of our implementation and of PyTorch's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from vlmad_jax.backbones.plan import Plan, current_plan, using
from vlmad_jax.benchmark.accelerator import timing
from vlmad_jax.benchmark.accelerator.records import Records, recorded
from vlmad_jax.benchmark.accelerator.sizes import Sizes
from vlmad_jax.benchmark.jobs import make_job
from vlmad_jax.benchmark.random_inputs import draw_clip
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.runtime import machine


def measure(
    records: Records, sizes: Sizes, setting: Setting, dtype: str, peak: float, clip: Any, **labels: Any
) -> None:
    """Record the speed of one setting in JAX.

    Args:
      records: The records, to which one is added.
      sizes: The sizes of the run.
      setting: The setting.
      dtype: The dtype of products.
      peak: The operations a second of matrix products in this process.
      clip: The backbone with random weights.
      labels: Further values of the record.
    """
    job = make_job(setting, dtype, clip)
    compiling = timing.first_call(job.call)
    seconds = timing.seconds_of_call(job.call, seconds=sizes.seconds)
    speed = setting.batch_size / seconds
    records.add(
        "speed",
        library="jax",
        method=setting.method if setting.work == "score" else f"{setting.method} {setting.work}",
        dtype=dtype,
        batch=setting.batch_size,
        images_per_s=speed,
        share_of_peak=speed * setting.published_flop / peak,
        peak_tflops=peak / 1e12,
        compile_s=compiling - seconds,
        memory_gb=machine.peak_memory() / 1e9,
        **labels,
    )


def score(records: Records, sizes: Sizes, method: str, dtype: str) -> None:
    """Record the speed of scoring at every batch size."""
    peak = record_matmul(records, dtype, sizes.side)
    clip = draw_clip(sizes.backbones[method], dtype)
    batches = sizes.batches if dtype == "bfloat16" else sizes.float32_batches
    for batch in batches[method]:
        with recorded(records, f"{method} {dtype} batch {batch}"):
            measure(records, sizes, sizes.setting(method, batch), dtype, peak, clip)


def choices(records: Records, sizes: Sizes, method: str) -> None:
    """Record the speed of scoring in bfloat16 with each choice of the plan changed by itself."""
    peak = timing.jax_matmul_rate("bfloat16", sizes.side)
    clip = draw_clip(sizes.backbones[method], "bfloat16")
    for label, plan in other_plans(sizes, method):
        with recorded(records, label), using(plan):
            setting = sizes.setting(method, sizes.middle[method])
            measure(records, sizes, setting, "bfloat16", peak, clip, choice=label)


def other_plans(sizes: Sizes, method: str) -> Iterator[tuple[str, Plan]]:
    """Return the plans that differ in one choice from that of the device, each with its label."""
    plan = current_plan()
    if method == "anomalyclip" and plan.long_attention == "cudnn":
        yield "plain attention", dataclasses.replace(plan, long_attention="plain")
    rounds = not plan.rounds_products
    yield f"products rounded: {rounds}", dataclasses.replace(plan, rounds_products=rounds)
    for tokens in sizes.chunk_tokens:
        if tokens != plan.chunk_tokens:
            yield f"{tokens} tokens", dataclasses.replace(plan, chunk_tokens=tokens)


def train(records: Records, sizes: Sizes) -> None:
    """Record the speed of training steps of AnomalyCLIP on cached features and on images."""
    for dtype in ("bfloat16", "float32"):
        peak = timing.jax_matmul_rate(dtype, sizes.side)
        clip = draw_clip(sizes.backbones["anomalyclip"], dtype)
        for work in ("train_cached", "train") if dtype == "bfloat16" else ("train_cached",):
            with recorded(records, f"{work} {dtype}"):
                setting = sizes.setting("anomalyclip", sizes.training_batch, work)
                measure(records, sizes, setting, dtype, peak, clip)


def torch_score(records: Records, sizes: Sizes, method: str, dtype: str, compiled: bool = False) -> None:
    """Record the speed of scoring in PyTorch, and its largest difference from our maps at the first batch.

    Args:
      records: The records.
      sizes: The sizes of the run.
      method: "winclip" or "anomalyclip".
      dtype: "float32", or "bfloat16" for autocast.
      compiled: Whether `torch.compile` compiles the backbone's blocks, at the middle batch size alone.
    """
    import torch

    from vlmad_jax.benchmark.torch_implementation import batched

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = timing.torch_matmul_rate(dtype, sizes.side)
    records.add("matmul", library="torch", dtype=dtype, result=dtype, side=sizes.side, tflops=peak / 1e12)
    batches = sizes.batches if dtype == "bfloat16" else sizes.float32_batches
    for batch in (sizes.middle[method],) if compiled else batches[method]:
        with recorded(records, f"torch {method} {dtype} batch {batch}"):
            setting = sizes.setting(method, batch)
            call = in_autocast(torch, batched(setting, device, compiled), device, dtype)
            starting = timing.first_call(call, timing.wait_for_torch)
            seconds = timing.seconds_of_call(call, timing.wait_for_torch, sizes.seconds)
            memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else machine.process_peak()
            records.add(
                "speed",
                library="torch",
                method=method,
                dtype=dtype,
                batch=batch,
                images_per_s=batch / seconds,
                share_of_peak=batch / seconds * setting.published_flop / peak,
                peak_tflops=peak / 1e12,
                compile_s=starting - seconds if compiled else None,
                memory_gb=memory / 1e9,
                choice="torch.compile" if compiled else None,
            )


def in_autocast(torch: Any, score: Callable[[], Any], device: Any, dtype: str) -> Callable[[], Any]:
    """Return the function, called without gradients and, in bfloat16, under autocast."""

    def call() -> Any:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            return score()

    return call


def compare_with_torch(records: Records, sizes: Sizes, method: str, dtype: str) -> None:
    """Record the largest difference of our maps from PyTorch's, for one image."""
    import torch

    from vlmad_jax.benchmark.torch_implementation import batched

    setting = sizes.setting(method, 1)
    ours = make_job(setting, dtype, draw_clip(setting.config, dtype)).call()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _, theirs = in_autocast(torch, batched(setting, device), device, dtype)()
    apart = np.abs(np.asarray(ours.map) - theirs.float().cpu().numpy()).max()
    records.add(
        "parity",
        dtype=dtype,
        method=method,
        quantity="maps against torch",
        difference=float(apart),
        largest=float(np.abs(ours.map).max()),
    )


def record_matmul(records: Records, dtype: str, side: int) -> float:
    """Record the rate of square products, and return the highest, in operations a second."""
    rates = []
    for result in dict.fromkeys((dtype, "float32")):
        rates.append(timing.jax_matmul_rate(dtype, side, result))
        records.add("matmul", library="jax", dtype=dtype, result=result, side=side, tflops=rates[-1] / 1e12)
    return max(rates)
