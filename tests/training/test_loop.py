"""The training step and loop on a model of two numbers."""

import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.experiments.command import with_devices
from vlmad_jax import InputError
from vlmad_jax.training.loop import Log, StopRequest, loss_figure, read_log, running_mean, train
from vlmad_jax.training.step import TrainState, make_step

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.normal(size=(12, 8, 2)).astype(np.float32), RNG.normal(size=(12, 8)).astype(np.float32)
OPTIMIZER = optax.adam(0.1)


def squared_error(params, context, batch):
    error = jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)
    return error, {"error": error}


def fresh() -> TrainState:
    params = {"w": jnp.zeros(2)}
    return TrainState(params, OPTIMIZER.init(params))


def batches(first: int):
    for n in range(first, 12):
        yield {"x": INPUTS[n], "y": TARGETS[n]}


def run(out, steps: int, feed=batches, save_every: int = 2) -> TrainState:
    feed = feed_until(feed, steps)
    return train(make_step(squared_error, OPTIMIZER), fresh(), {}, feed, steps, out, 8, save_every)[0]


def feed_until(feed, steps: int):
    return lambda done: (batch for _, batch in zip(range(done, steps), feed(done), strict=False))


def by_hand(steps: int) -> np.ndarray:
    """Return the weights after Adam's steps (Kingma and Ba 2015, algorithm 1), in float64."""
    w, m, v = np.zeros(2), np.zeros(2), np.zeros(2)
    for n in range(steps):
        x, y = INPUTS[n].astype(np.float64), TARGETS[n].astype(np.float64)
        gradient = 2 * x.T @ (x @ w - y) / len(y)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w = w - 0.1 * (m / (1 - 0.9 ** (n + 1))) / (np.sqrt(v / (1 - 0.999 ** (n + 1))) + 1e-8)
    return w


def test_training_follows_the_gradient(tmp_path):
    state = run(tmp_path, 5)
    np.testing.assert_allclose(state.params["w"], by_hand(5), rtol=1e-5)
    losses = [line["loss"] for line in read_log(tmp_path / "log.jsonl")]
    assert len(losses) == 5
    assert losses[0] == pytest.approx(np.mean(TARGETS[0] ** 2), rel=1e-6)


def test_a_step_is_compiled_once(tmp_path):
    """The initial state and the state from a step have the same layout."""
    traced = []

    def loss(params, context, batch):
        traced.append(None)
        return squared_error(params, context, batch)

    train(make_step(loss, OPTIMIZER), fresh(), {}, feed_until(batches, 3), 3, tmp_path, 8, 2)
    assert len(traced) == 1


def drawn(params, context, batch):
    number = jax.random.uniform(batch["key"])
    return 0 * params["w"].sum() + number, {"number": number}


def numbers(out, seed: int, accumulate: int = 1, stops: tuple[int, ...] = (4,)) -> list[float]:
    """Return the random numbers that a loss draws in four steps."""
    for stop in stops:
        step = make_step(drawn, OPTIMIZER, accumulate, seed)
        train(step, fresh(), {}, feed_until(batches, stop), stop, out, 8, 1)
    return [line["number"] for line in read_log(out / "log.jsonl")]


def test_random_numbers_of_a_loss(tmp_path):
    """Steps, seeds and accumulated parts draw different numbers, and a resumed run draws the same ones."""
    whole = numbers(tmp_path / "whole", 0)
    assert len(set(whole)) == 4
    assert numbers(tmp_path / "again", 0, stops=(2, 4)) == whole
    assert not set(numbers(tmp_path / "seed", 1)) & set(whole)
    halves = numbers(tmp_path / "parts", 0, accumulate=2)
    assert not set(halves) & set(whole)


def test_devices_share_a_batch(tmp_path):
    """Two devices with half a batch each take the steps of one device with all of it."""
    script = """
import sys, pathlib, jax, numpy as np
from tests.training import test_loop
assert jax.local_device_count() == 2
state = test_loop.run(pathlib.Path(sys.argv[1]), 5)
np.testing.assert_allclose(state.params["w"], test_loop.by_hand(5), rtol=1e-5)
line = test_loop.read_log(pathlib.Path(sys.argv[1]) / "log.jsonl")[0]
both = test_loop.numbers(pathlib.Path(sys.argv[1]) / "numbers", 0)
of_first = [float(jax.random.uniform(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), n), 0)))
    for n in range(4)]
assert not set(both) & set(of_first)  # each device draws its own
assert abs(line["loss"] - np.mean(test_loop.TARGETS[0] ** 2)) < 1e-6
print("ended well")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=with_devices(2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "ended well\n", done.stderr


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole", 7)
    run(tmp_path / "parts", 3)
    parts = run(tmp_path / "parts", 7)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(a, b)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]


def test_sigterm_saves_and_stops(tmp_path):
    def interrupting(first):
        for n, batch in enumerate(batches(first), start=first):
            if n == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    stopped = run(tmp_path, 7, feed=interrupting, save_every=100)
    np.testing.assert_allclose(stopped.params["w"], by_hand(4), rtol=1e-5)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4]
    whole = run(tmp_path / "whole", 7)
    np.testing.assert_array_equal(run(tmp_path, 7).params["w"], whole.params["w"])
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == list(range(1, 8))


def test_the_handler_of_sigterm_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    def broken(first):
        for n, batch in enumerate(batches(first), start=first):
            yield batch | {"y": batch["y"] * (np.nan if n == 4 else 1)}

    with pytest.raises(InputError, match="not finite at step 5; lower the learning rate"):
        run(tmp_path, 7, feed=broken, save_every=3)
    # The last checkpoint is complete, and the run resumes from it.
    np.testing.assert_allclose(run(tmp_path, 4).params["w"], by_hand(4), rtol=1e-5)


def test_a_finished_run_does_nothing(tmp_path):
    finished = run(tmp_path, 3)

    def none(first):
        raise AssertionError("a finished run asked for a batch")

    again, done = train(make_step(squared_error, OPTIMIZER), fresh(), {}, none, 3, tmp_path, 8, 2)
    assert done == 3
    np.testing.assert_array_equal(again.params["w"], finished.params["w"])


def test_lines_of_lost_steps_are_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": n, "loss": 1.0 / n}) for n in range(1, 6)]
    path.write_text("\n".join(lines) + '\n{"step": 6, "lo')  # interrupted while writing
    assert [line["step"] for line in read_log(path)] == [1, 2, 3, 4, 5]
    log = Log(path, done=3)
    assert path.read_text() == "\n".join(lines[:3]) + "\n"
    log.add(4, {"loss": jnp.float32([0.25])}, flush=True)
    assert [line["loss"] for line in read_log(path)] == [1.0, 0.5, 1 / 3, 0.25]
    assert read_log(tmp_path / "absent.jsonl") == []


def test_running_mean():
    values = [1.0, 2.0, 6.0, 3.0, 0.0]
    np.testing.assert_allclose(running_mean(values, width=3), [1, 1.5, 3, 11 / 3, 3])
    assert running_mean([5.0] * 120)[-1] == 5


def test_each_loss_has_a_panel_of_its_own() -> None:
    lines = [
        {"step": n, "dice": 0.9 - n / 1000, "loss": 5 * 0.97**n + 1, "focal": 4 * 0.97**n} for n in range(200)
    ]
    panels = loss_figure(lines).axes
    assert [axes.get_title() for axes in panels] == ["loss", "dice", "focal"]
    assert [axes.get_yscale() for axes in panels] == ["linear", "linear", "log"]
    for axes in panels:
        (drawn,) = axes.lines
        np.testing.assert_allclose(
            drawn.get_ydata(), running_mean([line[axes.get_title()] for line in lines])
        )
        high = axes.get_ylim()[1]
        assert drawn.get_ydata().max() <= high < 1.5 * drawn.get_ydata().max()  # it fills its panel
    assert len(loss_figure([{"step": 0, "loss": 0.0}]).axes) == 1
    assert len(loss_figure([{"step": 0, "loss": 1.0, "a": 1.0, "b": 1.0, "c": 0.0}]).axes) == 4
