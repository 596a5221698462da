"""Training of learned prompts on any number of devices, and after it was killed."""

import dataclasses
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from tests.data.conftest import made_image, mask, save
from tests.experiments.command import ROOT, there, with_devices
from tests.golden import difference
from vlmad_jax import AnomalyCLIP, InputError, load_clip
from vlmad_jax.data import load_dataset
from vlmad_jax.training.batches import LabelledImages
from vlmad_jax.training.loop import read_log
from vlmad_jax.training.train import Resources, TrainConfig, train_method, training_images, training_samples

pytestmark = pytest.mark.usefixtures("evaluating")

TRAINING = """
import sys
from experiments import train
from vlmad_jax.commands import common
sys.exit(common.main(train.main))
"""


@pytest.fixture
def config(folder: Path, weights: Path) -> TrainConfig:
    """Train on five images with masks for 15 steps of eight images."""
    return TrainConfig(
        "anomalyclip", str(weights), "folder", str(folder), ("bottle",), epochs=24, learning_rate=0.01, seed=3
    )


def flags_of(config: TrainConfig, out: Path, *more: str) -> list[str]:
    return [
        "--method=anomalyclip",
        f"--weights={config.weights}",
        f"--dataset={config.dataset}",
        f"--data_dir={config.data_dir}",
        f"--categories={','.join(config.categories)}",
        f"--epochs={config.epochs}",
        f"--seed={config.seed}",
        f"--learning_rate={config.learning_rate}",
        f"--out={out}",
        *more,
    ]


def losses(out: Path) -> np.ndarray:
    return np.array([line["loss"] for line in read_log(out / "log.jsonl")])


def test_every_epoch_shows_every_image_once() -> None:
    images = LabelledImages(tuple(range(5)), {}, 16, 4, seed=1, with_masks=True)  # type: ignore[arg-type]
    shown = np.concatenate([images.numbers(step) for step in range(5)]).reshape(4, 5)
    assert [sorted(epoch) for epoch in shown.tolist()] == [[0, 1, 2, 3, 4]] * 4
    assert len({tuple(epoch) for epoch in shown.tolist()}) > 1
    other = dataclasses.replace(images, seed=2)
    assert not np.array_equal(shown.ravel(), np.concatenate([other.numbers(step) for step in range(5)]))


def test_training_lowers_the_loss_and_its_parameters_are_used(config: TrainConfig, tmp_path: Path) -> None:
    params = train_method(config, tmp_path / "run")
    logged = losses(tmp_path / "run")
    assert len(logged) == 15
    assert logged[-3:].mean() < 0.95 * logged[:3].mean()
    assert set(read_log(tmp_path / "run/log.jsonl")[0]) == {"step", "loss", "image", "focal", "dice"}
    clip = load_clip(config.weights)
    detector = AnomalyCLIP.trained(clip, params)
    learned = detector.load_params(params)
    fresh = detector.init(jax.random.key(config.seed))
    assert {name: x.shape for name, x in learned.items()} == {name: x.shape for name, x in fresh.items()}
    assert difference(learned["normal"], fresh["normal"]) > 1e-3
    # The same command on a finished run changes nothing.
    before = (tmp_path / "run/log.jsonl").read_bytes()
    train_method(config, tmp_path / "run")
    assert (tmp_path / "run/log.jsonl").read_bytes() == before


def test_parameters_of_another_training_are_refused(
    config: TrainConfig, tmp_path: Path, weights: Path
) -> None:
    params = train_method(dataclasses.replace(config, epochs=1), tmp_path / "run")
    clip = load_clip(weights)
    detector = AnomalyCLIP.trained(clip, params)
    other = dataclasses.replace(detector, image_size=80)
    with pytest.raises(InputError, match="trained with image_size 64 there and 80 here"):
        other.load_params(params)
    biased = jax.tree.map(lambda x: x + 1 if x.ndim == 1 else x, clip.params)
    elsewhere = dataclasses.replace(detector, clip=dataclasses.replace(clip, params=biased, name="other"))
    with pytest.raises(InputError, match=r"trained with the backbone .*, not other \("):
        elsewhere.load_params(params)
    # The blur follows everything that is learned.
    assert dataclasses.replace(detector, blur_sigma=0).load_params(params).keys() == detector.shapes.keys()
    shutil.rmtree(params / "params")
    with pytest.raises(InputError, match=r"params: does not load \("):
        detector.load_params(params)


def test_cached_features_give_the_same_losses_to_bfloat16(config: TrainConfig, tmp_path: Path) -> None:
    """Features lose 16 of 24 bits: 2^-9 of a cosine over 0.07 is 3% of a logit, and the loss averages."""
    config = dataclasses.replace(config, epochs=8)
    train_method(config, tmp_path / "plain")
    cached = dataclasses.replace(config, cache_features=True)
    train_method(cached, tmp_path / "memory")
    train_method(cached, tmp_path / "disk", Resources(cache_gigabytes=0))
    np.testing.assert_array_equal(losses(tmp_path / "memory"), losses(tmp_path / "disk"))
    np.testing.assert_allclose(losses(tmp_path / "memory"), losses(tmp_path / "plain"), rtol=3e-3)
    assert (losses(tmp_path / "memory") != losses(tmp_path / "plain")).any()


def test_accumulation_changes_nothing(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, epochs=8)
    train_method(config, tmp_path / "whole")
    train_method(config, tmp_path / "parts", Resources(accumulate=4))
    np.testing.assert_allclose(losses(tmp_path / "parts"), losses(tmp_path / "whole"), rtol=1e-5)


def test_without_masks_only_the_image_term_is_trained(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_method(dataclasses.replace(config, categories=("metal_nut",), epochs=2), tmp_path / "run")
    assert "folder: masks are missing, so that only the image term" in capsys.readouterr().out
    assert set(read_log(tmp_path / "run/log.jsonl")[0]) == {"step", "loss", "image"}


def test_bad_input(config: TrainConfig, tmp_path: Path, folder: Path) -> None:
    for number in range(2):
        save(made_image(number), tmp_path / f"good/cup/train/good/{number}.png")
        save(made_image(number), tmp_path / f"good/cup/test/good/{number}.png")
    nothing = dataclasses.replace(config, data_dir=str(tmp_path / "good"), categories=())
    with pytest.raises(InputError, match=r"good: no anomalous image in any test folder.*--auxiliary"):
        train_method(nothing, tmp_path / "a")
    with pytest.raises(InputError, match=r"--batch_size=9 .* 1 devices .*--accumulate=2.*multiple of 2"):
        train_method(dataclasses.replace(config, batch_size=9), tmp_path / "a", Resources(accumulate=2))
    diagonal = dataclasses.replace(config, setting=(("attention", "diagonal"),))
    with pytest.raises(InputError, match=r"--cache_features: .*--attention=diagonal"):
        train_method(dataclasses.replace(diagonal, cache_features=True), tmp_path / "a")
    with pytest.raises(
        InputError, match="method 'winclip' learns no parameters; give one of anomalyclip, aprilgan, coop"
    ):
        train_method(dataclasses.replace(config, method="winclip"), tmp_path / "a")
    with pytest.raises(InputError, match="dtype int8 is rounded and has no gradient; train with float32 or"):
        train_method(dataclasses.replace(config, dtype="int8"), tmp_path / "a")
    assert not (tmp_path / "a").exists()

    train_method(dataclasses.replace(config, epochs=1), tmp_path / "run")
    log = (tmp_path / "run/log.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"run: .*epochs 1, but this one has 24.*--out"):
        train_method(config, tmp_path / "run")
    assert (tmp_path / "run/log.jsonl").read_bytes() == log
    (tmp_path / "run/train.json").unlink()
    with pytest.raises(InputError, match=r"run: .*train\.json.*--out"):
        train_method(config, tmp_path / "run")

    broken = folder / "bottle/test/bent/000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match=r"bottle/test/bent/000.png: does not decode"):
        train_method(config, tmp_path / "broken")


def test_a_loss_that_is_not_finite_names_the_images(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AnomalyCLIP.loss

    def broken(self, params, context, batch):
        loss, parts = original(self, params, context, batch)
        return loss * np.nan, parts

    monkeypatch.setattr(AnomalyCLIP, "loss", broken)
    names = r"bottle/test/\w+/\d+\.png"
    with pytest.raises(InputError, match=rf"not finite at step 1 \({names}(, {names}){{7}}\)"):
        train_method(config, tmp_path / "run")


@pytest.mark.long
def test_the_same_losses_on_any_number_of_devices_and_processes(config: TrainConfig, tmp_path: Path) -> None:
    """Thirty steps on 1 and 8 devices, and on two processes of 2 that each read half of every batch."""
    config = dataclasses.replace(config, epochs=48)
    train_method(config, tmp_path / "one")
    expected = losses(tmp_path / "one")
    assert len(expected) == 30
    started = [start(config, tmp_path / "devices", 8)]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    together = ("--processes=2", f"--coordinator={address}")
    for process in range(2):
        started.append(start(config, tmp_path / "processes", 2, *together, f"--process={process}"))
    for process in started:
        _, error = process.communicate(timeout=300)
        assert process.returncode == 0, error
    for name in ("devices", "processes"):
        np.testing.assert_allclose(losses(tmp_path / name), expected, rtol=1e-5, err_msg=name)


def start(config: TrainConfig, out: Path, devices: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRAINING, *flags_of(config, out, *more)]
    return subprocess.Popen(command, cwd=ROOT, env=with_devices(devices), stderr=subprocess.PIPE, text=True)


KILLED = """
import os, signal, sys
from vlmad_jax.training import loop
add = loop.Log.add
def die(self, step, terms, flush):
    found = add(self, step, terms, flush)
    if step == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
loop.Log.add = die
"""


@pytest.mark.long
def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(config: TrainConfig, tmp_path: Path) -> None:
    flags = flags_of(config, tmp_path / "killed", "--save_every=4")
    killed = there("-c", KILLED + TRAINING, *flags)
    assert killed.code == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "killed/params").exists()
    train_method(config, tmp_path / "killed", Resources(save_every=4))
    train_method(config, tmp_path / "whole")
    clip = load_clip(config.weights)
    detector = AnomalyCLIP.trained(clip, tmp_path / "whole/params")
    resumed, uninterrupted = (
        detector.load_params(tmp_path / name / "params") for name in ("killed", "whole")
    )
    for name in uninterrupted:
        np.testing.assert_array_equal(resumed[name], uninterrupted[name], err_msg=name)
    assert (tmp_path / "killed/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()


@pytest.mark.long
def test_sigterm_saves_and_ends_well(config: TrainConfig, tmp_path: Path) -> None:
    script = KILLED.replace("SIGKILL", "SIGTERM")
    done = there("-c", script + TRAINING, *flags_of(config, tmp_path / "run"))
    assert done.code == 0, done.stderr
    assert re.fullmatch(f"stopped .* same command .*resume {re.escape(str(tmp_path / 'run'))}\n", done.stdout)
    assert len(read_log(tmp_path / "run/log.jsonl")) == 12  # the step after the signal
    described = json.loads((tmp_path / "run/train.json").read_text())
    assert described["setting"]["image_size"] == 64


def test_the_image_without_a_mask_is_named(folder: Path) -> None:
    save(mask(0), folder / "bottle/ground_truth/bent/000_mask.png")
    dataset = load_dataset("folder", folder, ["bottle"])
    samples = training_samples(dataset, None)
    backbone = SimpleNamespace(resample="bicubic")
    needs_masks: Any = SimpleNamespace(learns_from_labels=False, size=(8, 8), backbone=backbone)
    message = r"aprilgan needs a mask .*test/bent/000\.png has none.*draw the mask"
    with pytest.raises(InputError, match=message):
        training_images(TrainConfig("aprilgan", "w", "folder"), dataset, samples, needs_masks)
    save(mask(1), folder / "bottle/ground_truth/bent/000_mask.png")
    dataset = load_dataset("folder", folder, ["bottle"])
    samples = training_samples(dataset, None)
    assert training_images(TrainConfig("aprilgan", "w", "folder"), dataset, samples, needs_masks).with_masks
