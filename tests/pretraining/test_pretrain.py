"""Tests of whole pretraining runs of a model small enough to compile in seconds."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from tests.experiments.command import here
from tests.training.settings import small_config
from vlmad_jax import InputError, load_clip
from vlmad_jax import synthetic as rendering
from vlmad_jax.backbones.clip import random_clip, save_clip
from vlmad_jax.pretraining import pretrain as module
from vlmad_jax.pretraining.contrastive import WEIGHTS
from vlmad_jax.pretraining.initial import mean_weights
from vlmad_jax.pretraining.logit_scale import with_logit_scale
from vlmad_jax.pretraining.pairs import FAMILIES
from vlmad_jax.pretraining.pretrain import PretrainConfig, check_config, pretrain, start_run
from vlmad_jax.pretraining.teacher import TERMS
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.training.loop import read_log

CONFIG = PretrainConfig(schedule_steps=4, pairs=2, pool=3, warmup_steps=1, image_size=32)


@pytest.fixture
def small(monkeypatch, tokenizer):
    def shared_tokenizer(families, defects):
        assert (families, [*defects]) == (rendering.TRAIN_FAMILIES, [*rendering.DEFECTS.values()])
        return tokenizer

    monkeypatch.setattr(module, "tiny_config", small_config)
    monkeypatch.setattr(module, "train_tokenizer", shared_tokenizer)


@pytest.mark.long
def test_a_resumed_run_equals_an_uninterrupted_one(small, tmp_path):
    whole = pretrain(CONFIG, tmp_path / "whole", 3, workers=0)
    pretrain(CONFIG, tmp_path / "parts", 2, workers=0)
    parts = pretrain(CONFIG, tmp_path / "parts", 3, workers=0)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("log.jsonl", "weights/model.safetensors", "weights/config.json", "pretrain.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    lines = read_log(tmp_path / "whole" / "log.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert set(lines[0]) == {"step", "loss", *WEIGHTS} - {"reference", *TERMS}
    assert (tmp_path / "whole" / "losses.png").stat().st_size > 1000

    loaded = load_clip(tmp_path / "whole" / "weights")
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(loaded.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)  # stored as float16
    assert loaded.encode_text(["a photo of a nut."]).shape == (1, 8)


@pytest.mark.long
def test_a_run_from_weights_with_larger_images(small, tmp_path):
    first = pretrain(CONFIG, tmp_path / "first", 1, workers=0)
    more = dataclasses.replace(
        CONFIG,
        start=str(tmp_path / "first/weights"),
        image_size=64,
        second_normal_image=True,
        logit_scale=50.0,
        learning_rate=0,
        muon_learning_rate=0,
    )
    second = pretrain(more, tmp_path / "second", 1, workers=0)
    assert set(read_log(tmp_path / "second/log.jsonl")[0]) == {"step", "loss", *WEIGHTS} - set(TERMS)
    assert second.config.vision.image_size == 64
    assert second.config == load_clip(tmp_path / "second/weights").config
    positions = [clip.params["vision"].pop("position_embedding") for clip in (first, second)]
    assert [x.shape for x in positions] == [(1 + 16, 16), (1 + 64, 16)]
    np.testing.assert_allclose(positions[0][0], positions[1][0], atol=1e-4)  # the class token's
    expected = with_logit_scale(load_clip(tmp_path / "first/weights"), 50.0)
    assert float(expected["logit_scale"]) == pytest.approx(np.log(50))
    expected["vision"].pop("position_embedding")
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(second.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for wrong, message in (
        ({"image_size": 72}, "not a multiple of 32"),
        ({"start": "tests/golden/winclip"}, "shape"),
    ):
        with pytest.raises(InputError, match=message):
            pretrain(dataclasses.replace(more, **wrong), tmp_path / "wrong", 1, workers=0)
    assert not (tmp_path / "wrong").exists()


def test_the_mean_of_weights(tokenizer, tmp_path):
    clips = [random_clip(small_config(len(tokenizer)), seed, tokenizer=tokenizer) for seed in (1, 2)]
    for number, clip in enumerate(clips):
        save_clip(clip, tmp_path / str(number))
    mean = mean_weights([str(tmp_path / str(number)) for number in range(2)], clips[0].config)
    kernels = [clip.params["text"]["projection"]["kernel"] for clip in clips]
    np.testing.assert_allclose(mean["text"]["projection"]["kernel"], (kernels[0] + kernels[1]) / 2, atol=1e-6)


def test_a_logit_scale_that_is_too_large_to_be_learned(small, tokenizer, tmp_path):
    clip = random_clip(small_config(len(tokenizer)), 1, tokenizer=tokenizer)
    params = clip.params | {"logit_scale": np.log(np.float32(400))}
    save_clip(dataclasses.replace(clip, params=params), tmp_path / "start", dtype="float16")
    config = dataclasses.replace(CONFIG, start=str(tmp_path / "start"))
    with pytest.raises(InputError, match=r"logit scale 400 is above 100.*--logit_scale=400"):
        pretrain(config, tmp_path / "out", 1, workers=0)
    assert not (tmp_path / "out").exists()


def test_learning_rates_rise_stay_and_fall():
    rate = PretrainConfig(schedule_steps=40, warmup_steps=10).schedule(0.5)
    expected = [0.5 * min(1, n / 10, (40 - n) / 20) for n in range(41)]
    np.testing.assert_allclose([rate(n) for n in range(41)], expected, rtol=1e-6, atol=1e-7)


def test_muon_moves_the_kernels_and_adam_the_rest():
    """A kernel's first step has the size sqrt(larger side) x 0.2 x the learning rate in all directions."""
    config = PretrainConfig(warmup_steps=1, muon_learning_rate=0.5, learning_rate=0.25, weight_decay=0.1)
    optimizer = config.optimizer()
    update = jax.jit(optimizer.update)
    rng = np.random.default_rng(0)
    params = {
        "mlp": {"kernel": np.ones((6, 2), np.float32), "bias": np.ones(2, np.float32)},
        "patch_embedding": {"kernel": np.ones((6, 2), np.float32)},
    }
    gradients = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), params)
    zeros = jax.tree.map(np.zeros_like, params)
    _, state = update(zeros, optimizer.init(params), params)  # the rate begins at zero
    updates, _ = update(gradients, state, params)
    moved = -updates["mlp"]["kernel"] - 0.5 * 0.1 * params["mlp"]["kernel"]
    np.testing.assert_allclose(np.linalg.svd(moved)[1], 0.5 * 0.2 * np.sqrt(6), rtol=0.35)
    for name in (("mlp", "bias"), ("patch_embedding", "kernel")):
        step, gradient = (tree[name[0]][name[1]] for tree in (updates, gradients))
        np.testing.assert_array_equal(np.sign(step), -np.sign(gradient))
        np.testing.assert_allclose(
            np.abs(step), np.abs(step).max(), rtol=1e-3
        )  # Adam's steps are equally large


def test_a_run_of_another_configuration_is_refused(tmp_path):
    check_config(CONFIG, tmp_path)
    check_config(CONFIG, tmp_path)
    check_config(dataclasses.replace(CONFIG, schedule_steps=9), tmp_path)  # this value alone may change
    other = dataclasses.replace(CONFIG, pairs=4, seed=1)
    with pytest.raises(InputError) as caught:
        check_config(other, tmp_path)
    for part in (str(tmp_path), "pairs 2, but this one has 4", "seed 0, but this one has 1", "--out"):
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    (tmp_path / "pretrain.json").write_text(text)
    with pytest.raises(InputError, match=r"pretrain\.json: cannot be parsed .*--out"):
        check_config(CONFIG, tmp_path)


def test_a_run_without_a_configuration_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"no pretrain\.json.*--out"):
        check_config(CONFIG, tmp_path)


def test_a_run_of_an_older_version_is_refused(tmp_path):
    """Its configuration has names that the current one does not have."""
    fields = dataclasses.asdict(CONFIG) | {"software": software_versions()}
    older = {k: v for k, v in fields.items() if k != "second_normal_image"} | {"references": False}
    (tmp_path / "pretrain.json").write_text(json.dumps(older))
    with pytest.raises(InputError, match=r"second_normal_image None, but this one has False.*--out"):
        check_config(CONFIG, tmp_path)


def test_the_command_refuses_another_configuration(tmp_path, capsys):
    there = dataclasses.asdict(PretrainConfig(seed=7)) | {"software": software_versions()}
    (tmp_path / "pretrain.json").write_text(json.dumps(there))
    done = here(capsys, "pretrain", f"--out={tmp_path}")
    assert done.code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}: ")
    assert "seed 7, but this one has 0" in line
    assert "--out" in line
    assert [path.name for path in tmp_path.iterdir()] == ["pretrain.json"]


@pytest.fixture
def photographs(tmp_path) -> tuple[str, str]:
    """Two folders with a photograph each."""
    rng = np.random.default_rng(0)
    for name in ("photographs", "others"):
        (tmp_path / name).mkdir()
        pixels = np.kron(rng.integers(30, 220, (25, 25, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    return str(tmp_path / "photographs"), str(tmp_path / "others")


@pytest.fixture
def taught(small, tokenizer, photographs, tmp_path, monkeypatch) -> PretrainConfig:
    """A run with a teacher whose patches are half as large as those of the trained model."""
    monkeypatch.setattr(module, "HELD_OUT_CROPS", 4)
    shape = small_config(len(tokenizer))
    shape = dataclasses.replace(shape, vision=dataclasses.replace(shape.vision, patch_size=4))
    save_clip(random_clip(shape, 5, tokenizer=tokenizer), tmp_path / "teacher")
    return dataclasses.replace(
        CONFIG,
        teacher=str(tmp_path / "teacher"),
        photographs=photographs[:1],
        held_out=photographs[1:],
        crops=5,
    )


def test_all_images_are_drawn_before_a_run(taught, tmp_path):
    start_run(taught, tmp_path / "run").draw(workers=0)
    run = start_run(taught, tmp_path / "run")
    stores = [images.store for images in (run.pool, run.crops, run.held_out)]
    assert [store.size for store in stores] == [CONFIG.pool, 5, 4]
    assert [store.missing() for store in stores] == [[], [], []]


def test_a_run_with_pairs_cut_from_photographs(small, photographs, tmp_path):
    config = dataclasses.replace(CONFIG, photographs=photographs, photographed_pairs=1.0)
    start_run(config, tmp_path / "run").draw(workers=0)
    names = start_run(config, tmp_path / "run").pool.store.arrays["names"]
    assert {FAMILIES[family] for family, _ in names} == {"sample"}
    path = tmp_path / "others/a.png"
    Image.new("RGB", (99, 99), "red").save(path)
    with pytest.raises(InputError, match="contents"):
        start_run(config, tmp_path / "run")


@pytest.mark.long
def test_a_run_with_a_teacher(taught, tmp_path):
    """It learns the teacher's features, says how well on other photographs, and can be resumed."""
    config = dataclasses.replace(taught, crops_per_pair=2, learning_rate=0.02, schedule_steps=40)
    whole = pretrain(config, tmp_path / "whole", 20, workers=0)
    pretrain(config, tmp_path / "parts", 8, workers=0)
    parts = pretrain(config, tmp_path / "parts", 20, workers=0)
    for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "whole/held_out.json").read_bytes() == (tmp_path / "parts/held_out.json").read_bytes()
    lines = read_log(tmp_path / "whole/log.jsonl")
    assert set(lines[0]) == {"step", "loss", *WEIGHTS} - {"reference"}
    for term in TERMS:
        assert lines[0][term] == pytest.approx(1, abs=0.25)
        assert lines[-1][term] < 0.9 * lines[0][term]
        assert 0 < json.loads((tmp_path / "whole/held_out.json").read_text())[term] < 1.5
    for name in ("others", "photographs"):
        before = (tmp_path / name / "a.png").read_bytes()
        Image.new("RGB", (99, 99), "red").save(tmp_path / name / "a.png")
        with pytest.raises(InputError, match="contents"):
            pretrain(config, tmp_path / "parts", 21, workers=0)
        (tmp_path / name / "a.png").write_bytes(before)


def test_a_teacher_and_photographs_need_each_other(small, photographs, tmp_path):
    teacher = str(tmp_path / "teacher")
    for given, message in (
        ({"photographs": photographs[:1]}, r"^--photographs needs --photographed_pairs.* or --teacher"),
        ({"photographed_pairs": 0.5}, r"^--photographed_pairs needs --photographs"),
        ({"held_out": photographs[:1]}, r"^--held_out needs --teacher"),
        ({"teacher": teacher}, r"^--teacher needs --photographs, or --rendered_crops=1"),
        ({"teacher": teacher, "photographs": ("none",)}, r"^none: has no images"),
    ):
        with pytest.raises(InputError, match=message):
            pretrain(dataclasses.replace(CONFIG, **given), tmp_path / "out", 1, workers=0)
    assert not (tmp_path / "out").exists()
