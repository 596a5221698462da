"""The run that is prepared for a GPU, with small models on the CPU, and the plan that devices have."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlmad_jax.backbones import attention, precision
from vlmad_jax.backbones.plan import CPU, Plan, current_plan, plan_of_memory, plan_of_platform, using
from vlmad_jax.benchmark.accelerator.records import LINES, Records, read, tables

ROOT = Path(__file__).resolve().parents[2]
# What the machine for which the run is prepared lacks. Importing them fails in the process of a step.
MISSING = ("tensorflow_datasets", "grain", "array_record", "anomalib", "open_clip", "xxhash")
BLOCK = f"""
import runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {MISSING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")
sys.meta_path.insert(0, Blocked())
sys.argv = ["accelerator", *sys.argv[1:]]
runpy.run_module("vlmad_jax.benchmark.accelerator", run_name="__main__")
"""


def run_step(name: str, out: Path) -> list[dict]:
    """Run a step in another process that cannot import `MISSING`, and return its records."""
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "True",
        "PYTHONPATH": os.pathsep.join(places),
    }
    command = [sys.executable, "-c", BLOCK, name, f"--out={out}", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [record for record in read(out / LINES) if record["step"] == name]


@pytest.mark.long
@pytest.mark.parametrize("name", ["anomalyclip_bfloat16", "attention", "trace_winclip"])
def test_a_step_without_the_missing_packages(tmp_path, name):
    records = run_step(name, tmp_path)
    kind = {"a": "speed", "t": "trace"}[name[0]] if name != "attention" else "attention"
    assert sum(record["kind"] == kind for record in records) >= 2
    failures = [record["error"] for record in records if record["kind"] == "failure"]
    assert all("cuDNN" in error for error in failures)


def test_records_are_lines_and_tables(tmp_path):
    records = Records(tmp_path, "machine")
    records.add("matmul", library="jax", dtype="bfloat16", result="float32", side=8, tflops=1234.5)
    records.failure("a part", ValueError("no\nsuch thing"))
    with (tmp_path / LINES).open("a") as file:
        file.write('{"kind": "mat')  # a run that was cut short
    assert [record["kind"] for record in read(tmp_path / LINES)] == ["matmul", "failure"]
    lines = tables(read(tmp_path / LINES)).splitlines()
    assert "| jax | bfloat16 | float32 | 8 | 1234 |" in lines
    assert "| machine | a part | ValueError: no such thing |" in lines


def test_plans():
    if jax.default_backend() == "cpu":
        assert current_plan() == CPU
    assert plan_of_platform("cpu") == CPU == Plan("cpu", 1024, 2**21)
    assert plan_of_memory("gpu", 60 * 10**9).chunk_tokens == 65536
    assert plan_of_memory("tpu", 16 * 10**9).chunk_tokens == 16384
    assert plan_of_platform("cuda").chunk_tokens == 8192
    with using(plan_of_platform("cuda")):
        assert current_plan().rounds_products
    assert current_plan() != plan_of_platform("cuda")


def test_products_are_rounded_where_the_plan_says_so():
    rows, weights = (jax.random.normal(jax.random.key(n), (8, 8)).astype(jnp.bfloat16) for n in (0, 1))
    exact = precision.einsum("ni,io->no", rows, weights)
    with using(dataclasses.replace(CPU, rounds_products=True)):
        rounded = precision.multiply(rows, weights)
    with using(CPU):
        np.testing.assert_array_equal(precision.multiply(rows, weights), exact)
    np.testing.assert_array_equal(rounded, exact.astype(jnp.bfloat16).astype(jnp.float32))
    assert (rounded != exact).any()


def test_cudnn_takes_long_attention_in_bfloat16_alone():
    def suits(dtype, queries: int, tokens: int, depth: int = 64) -> bool:
        return attention.suits_cudnn(
            jnp.zeros((1, 1, queries, depth), dtype), jnp.zeros((1, 1, tokens, depth), dtype)
        )

    assert suits(jnp.bfloat16, 256, 256)
    assert not suits(jnp.float32, 256, 256)
    assert not suits(jnp.bfloat16, 1, 1370)
    assert not suits(jnp.bfloat16, 226, 226)
    assert not suits(jnp.bfloat16, 256, 256, 60)


@pytest.mark.parametrize("tokens", [256, 257])
def test_attention_by_cudnn_can_be_trained(monkeypatch, tokens):
    """The kernel in the place of cuDNN's has no gradient for an odd number of tokens either."""
    traced = []

    @jax.custom_vjp
    def kernel(q, k, v):
        traced.append("kernel")
        return attention.by_products(q, k, v)

    def forward(q, k, v):
        if tokens % 2:
            raise NotImplementedError(f"Unsupported sequence length Q {tokens}, KV {tokens}.")
        traced.append("gradient")
        return jax.vjp(attention.by_products, q, k, v)

    kernel.defvjp(forward, lambda pull, gradient: pull(gradient))
    monkeypatch.setattr(attention, "cudnn_kernel", kernel)
    inputs = [jax.random.normal(jax.random.key(n), (2, 1, tokens, 8)).astype(jnp.bfloat16) for n in range(3)]

    def loss(*inputs):
        return (attention.attend(*inputs) ** 2).sum()

    gradient = jax.grad(loss, (0, 1, 2))
    expected = jax.jit(gradient)(*inputs)
    with using(dataclasses.replace(CPU, long_attention="cudnn")):
        found = jax.jit(jax.vmap(gradient))(*(x[None] for x in inputs))
        assert ("gradient" in traced) == (tokens % 2 == 0)
        traced.clear()
        jax.jit(loss)(*inputs)
        assert traced == ["kernel"]
    for a, b in zip(found, expected, strict=True):
        # Gradients in bfloat16 have eight bits, and vmap adds in another order.
        np.testing.assert_allclose(a[0].astype(jnp.float32), b.astype(jnp.float32), rtol=1e-2, atol=1e-3)


@pytest.mark.parity
@pytest.mark.parametrize("method", ["winclip", "anomalyclip"])
def test_torch_in_whole_batches_equals_ours(tmp_path, method):
    (record,) = run_step(f"against_torch_{method}_float32", tmp_path)
    assert record["difference"] <= 5e-6
