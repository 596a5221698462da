import dataclasses
import json
import os
import pathlib
import resource
from multiprocessing.connection import Connection
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.benchmark.settings import Failing, Leaving, quick_implementation, small
from vlmad_jax.backbones.plan import current_plan
from vlmad_jax.benchmark import jax_implementation, measure, products, run, table
from vlmad_jax.benchmark.jax_implementation import JaxImplementation, Round, Startup
from vlmad_jax.benchmark.table import COLUMNS
from vlmad_jax.errors import InputError
from vlmad_jax.runtime import machine
from vlmad_jax.runtime.child_process import in_process


@pytest.fixture(scope="module")
def results():
    """Return a whole measurement of a small backbone in another process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "JaxImplementation", quick_implementation)
        return run(small(batch_size=2, shots=1, window_stride=1), ["bfloat16"], repeats=2)


def test_measurement(results):
    assert results == json.loads(json.dumps(results))
    assert results["machine"]["backend"] == jax.default_backend()
    assert results["machine"]["jax"] == jax.__version__
    assert results["machine"]["cores"] >= 1
    assert results["machine"]["instruction_sets"] == machine.instruction_sets()
    assert results["setting"] == {
        "method": "winclip",
        "arch": "small",
        "batch_size": 2,
        "window_sizes": [2, 3],
        "window_stride": 1,
        "shots": 1,
        "work": "score",
    }
    assert results["gflop_per_image"]["published"] == pytest.approx(1_054_912e-9 + 9_744e-9)
    assert 0.5 < results["gflop_per_image"]["executed"] / results["gflop_per_image"]["published"] < 1
    assert list(results["implementations"]) == ["bfloat16"]
    figures = results["implementations"]["bfloat16"]
    speed, share = figures["images_per_second"], figures["share_of_matmul_rate"]
    assert figures["rounds"] == 2
    assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    assert figures["compile_seconds"] > 0
    assert 1e4 < figures["peak_memory_bytes"] < 1e11
    assert figures["matmul"]["shape"] in ([64, 64, 64], [1024, 16, 32], [1024, 32, 16])
    assert 0 < share["executed"] < share["published"] < 2


def test_table(results):
    figures = results["implementations"]["bfloat16"]
    lines = table(results | {"implementations": {"float32": figures, "bfloat16": figures}}).splitlines()
    assert lines[0] == "winclip 1-shot, small, windows 2,3, window stride 1, batch 2"
    views = results["setting"] | {"multi_scale_sizes": [16, 40], "window_stride": None}
    assert table(results | {"setting": views}).startswith(
        "winclip 1-shot, small, windows 2,3, multi-scale sizes 16,40,"
    )
    training = results["setting"] | {"work": "train_cached", "window_sizes": None, "window_stride": None}
    assert table(results | {"setting": training}).startswith(
        "winclip training step on cached features, small"
    )
    assert [line.split()[0] for line in lines[-3:]] == ["images/s", "float32", "bfloat16"]
    assert len({len(line) for line in lines[-3:]}) == 1
    assert max(map(len, lines)) <= 110
    assert f"instruction sets of the processor: {', '.join(machine.instruction_sets())}" in lines
    assert float(lines[-1].split()[1]) == pytest.approx(figures["images_per_second"]["median"], rel=1e-3)


def test_summary_by_hand():
    setting = small(batch_size=4)
    start = Startup(first_call=10.0, peak_memory=5_000, executed_flop=500_000, machine={})
    # The median call takes 2 s; the best product does 4e6 operations a second.
    rounds = [
        Round(1.0, {(1, 2, 3): 3e6, (4, 5, 6): 1e6}),
        Round(2.0, {(1, 2, 3): 1e6, (4, 5, 6): 4e6}),
        Round(4.0, {(1, 2, 3): 1e6, (4, 5, 6): 2e6}),
    ]
    assert measure.summary(setting, start, rounds) == {
        "rounds": 3,
        "images_per_second": {"median": 2.0, "min": 1.0, "max": 4.0},
        "compile_seconds": 8.0,
        "peak_memory_bytes": 5_000,
        "matmul": {"shape": [4, 5, 6], "gflop_per_second": 4e-3},
        "share_of_matmul_rate": {"published": 0.527456, "executed": 0.25},
    }


@pytest.mark.parametrize(
    ("dtypes", "repeats", "message"),
    [
        (["float16"], 1, "dtype 'float16' is not one of float32, bfloat16"),
        ([], 1, "--dtypes=: give one dtype"),
        (["float32", "float32"], 1, "--dtypes=float32,float32: give .* once"),
        (["float32"], 0, "--repeats=0 is below 1"),
    ],
)
def test_impossible_runs(dtypes, repeats, message):
    with pytest.raises(InputError, match=message):
        run(small(), dtypes, repeats)


def test_int8_does_not_train():
    training = small(method="aprilgan", work="train")
    with pytest.raises(InputError, match="dtype int8 is rounded and has no gradient"):
        run(training, ["int8"])


class Clocked:
    """A replacement of `in_process` with its own clock: a start takes 100 seconds and a round 10."""

    now = 0.0
    calls: ClassVar[list[str]] = []

    def __init__(self, build, setting, dtype):
        self.dtype = dtype

    def __enter__(self):
        return self.ask

    def __exit__(self, *_):
        pass

    def ask(self, name):
        Clocked.calls.append(f"{self.dtype} {name}")
        Clocked.now += {"start": 100, "round": 10}[name]
        return {"start": Startup(1.0, 1, 1.0, {}), "round": Round(1.0, {(1, 1, 1): 1.0})}[name]


@pytest.fixture
def clocked(monkeypatch):
    monkeypatch.setattr(Clocked, "calls", [])
    monkeypatch.setattr(measure, "in_process", Clocked)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: Clocked.now)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 1), (15.0, 2), (1000.0, 4)])
def test_rounds_end_with_the_budget(clocked, seconds, rounds):
    results = run(small(), ["float32"], repeats=4, seconds=seconds)
    assert results["implementations"]["float32"]["rounds"] == rounds


def test_every_round_measures_all_dtypes(clocked):
    run(small(), ["float32", "bfloat16"], repeats=2)
    starts, rounds = ["float32 start", "bfloat16 start"], ["float32 round", "bfloat16 round"]
    assert Clocked.calls == starts + 2 * rounds


def test_short_calls_are_repeated(monkeypatch):
    clock = iter(range(0, 10_000))
    monkeypatch.setattr(jax_implementation.time, "perf_counter", lambda: next(clock) * 0.01)
    calls = []
    measured = jax_implementation.TimedFunction(lambda: calls.append(1) or jnp.zeros(1))
    assert (len(calls), measured.calls) == (2, 30)  # thirty calls of 0.01 s fill 0.3 s
    assert measured.seconds() == pytest.approx(0.01 / 30)
    assert len(calls) == 32


def test_failures_in_the_other_process():
    with in_process(Failing) as ask:
        with pytest.raises(InputError, match="the bottle: is not clean"):
            ask("refuse")
        with pytest.raises(InputError, match="ran out of memory; give a smaller --batch_size"):
            ask("run_out")
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            ask("divide")
        assert ask("count") != os.getpid()
        with pytest.raises(InputError, match=r"was killed \(exit code 7\)"):
            ask("die")


def test_the_other_process_ends_normally(tmp_path):
    with in_process(Leaving, tmp_path / "left") as call:
        call("wait")
        assert not (tmp_path / "left").exists()
    assert (tmp_path / "left").exists()


def test_a_failure_here_ends_the_other_process_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(Connection, "recv", interrupted)
    with pytest.raises(KeyboardInterrupt), in_process(Leaving, tmp_path / "left") as ask:
        ask("sleep")
    assert not (tmp_path / "left").exists()


def interrupted(connection):
    raise KeyboardInterrupt


def test_products_multiply_in_full(monkeypatch):
    monkeypatch.setattr(products, "SQUARES", dict.fromkeys(products.SQUARES, (8,)))
    made = products.products(small().config, "bfloat16")
    assert list(made) == [(8, 8, 8), (1024, 16, 32), (1024, 32, 16)]
    for (n, _, m), product in made.items():
        assert product().shape == (n, m)
        assert product().dtype == jnp.float32
    assert float(made[1024, 16, 32]().std()) == pytest.approx(4.0, rel=0.1)  # sums of 16 products
    whole = np.asarray(products.products(small().config, "int8")[1024, 16, 32]())
    assert (whole == whole.round()).all()
    assert whole.std() > 1000


@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="reads its own memory from /proc")
def test_peak_memory_includes_freed_memory(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    held = np.ones(2**26, np.float32)  # 256 MiB
    resident = int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    del held
    # The kernel counts pages in batches, hence 1%; getrusage may count the process that started this one.
    assert resident * 0.99 <= machine.peak_memory()
    assert machine.peak_memory() <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.01


def test_every_choice_is_measured_beside_that_of_the_package(clocked):
    results = run(small(), ["float32", "bfloat16"], repeats=1, choices=True)
    tokens = ["256 tokens", "4096 tokens", "16384 tokens"]
    assert list(results["implementations"]) == [
        "float32",
        "bfloat16",
        *(f"float32 {label}" for label in tokens),
        *(f"bfloat16 {label}" for label in [*tokens, "rounded"]),
    ]
    assert max(map(len, results["implementations"])) < COLUMNS[0][1]  # the column of names


def test_choices_replace_those_of_the_device(monkeypatch):
    plans = []
    scoring = jax_implementation.make_job

    def make_job(setting, dtype):
        plans.append(current_plan())
        return scoring(setting, dtype)

    monkeypatch.setattr(jax_implementation, "make_job", make_job)
    monkeypatch.setattr(products, "SQUARES", dict.fromkeys(products.SQUARES, (64,)))
    JaxImplementation(small(), "float32", {"chunk_tokens": 5}).start()
    assert plans == [dataclasses.replace(current_plan(), chunk_tokens=5)]
