"""Training on normal images with pasted defects: their order, the cache of features, and resuming."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import made_image, save
from tests.golden import shallow_clip
from vlmad_jax import AnomalyCLIP, InputError
from vlmad_jax.data import load_dataset
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.synthetic.pasting import KINDS
from vlmad_jax.training import loop
from vlmad_jax.training.batches import LabelledImages
from vlmad_jax.training.feature_store import FeatureCache
from vlmad_jax.training.loop import read_log
from vlmad_jax.training.pasted import PastedImages, pasted_samples
from vlmad_jax.training.train import Resources, TrainConfig, train_method

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.fixture
def config(folder: Path, weights: Path) -> TrainConfig:
    """Five normal images make 20 samples; eight a step, 15 steps. The category has no masks of its own."""
    return TrainConfig(
        "anomalyclip",
        str(weights),
        "folder",
        str(folder),
        ("metal_nut",),
        epochs=6,
        learning_rate=0.01,
        seed=3,
        auxiliary="cutpaste",
    )


@pytest.fixture
def images(folder: Path) -> PastedImages:
    dataset = load_dataset("folder", folder)
    return PastedImages(pasted_samples(dataset), {"bottle": 0, "metal_nut": 1}, 48, 8, 3, True)


def losses(out: Path) -> np.ndarray:
    return np.array([line["loss"] for line in read_log(out / "log.jsonl")])


def test_every_normal_image_makes_four_samples(images: PastedImages) -> None:
    samples = images.samples
    assert len(samples) == 2 * 5 * 4
    assert {Path(sample.path).parent.name for sample in samples} == {"good"}
    assert {sample.split for sample in samples} == {"train"}
    assert [sample.label for sample in samples] == [0, 1] * 20
    counts = [sum(sample.defect == kind for sample in samples) for kind in KINDS]
    assert counts == [7, 7, 6]
    read = list(images.read(range(40), 4, 0))
    for number, batch in enumerate(read):
        plain = resize_image(open_image(samples[4 * number].path), 48)
        assert batch["label"].tolist() == [0, 1, 0, 1]
        assert batch["class_id"].tolist() == [number // 5] * 4
        assert (batch["mask"].any(axis=(1, 2)) == [False, True, False, True]).all()
        for row, base in enumerate((plain, plain, plain[:, ::-1], plain[:, ::-1])):
            outside = batch["mask"][row] == 0
            np.testing.assert_array_equal(batch["image"][row][outside], base[outside])


def test_a_sample_is_a_function_of_the_seed_and_its_number(images: PastedImages) -> None:
    (whole,) = images.read(range(12), 12, 0)
    (parts,) = images.read([7, 1], 2, 0)
    np.testing.assert_array_equal(parts["image"], whole["image"][[7, 1]])
    np.testing.assert_array_equal(parts["mask"], whole["mask"][[7, 1]])
    (other,) = dataclasses.replace(images, seed=4).read(range(12), 12, 0)
    assert all((other["image"][n] != whole["image"][n]).any() == bool(n % 2) for n in range(12))


def test_cached_features_are_those_of_the_same_images(images: PastedImages, folder: Path) -> None:
    """The cache is on disk, and pasting and each seed have folders of their own."""
    dataset = load_dataset("folder", folder)
    detector = dataclasses.replace(AnomalyCLIP.for_backbone(shallow_clip("winclip", 2)), image_size=48)
    cache = FeatureCache.create(detector, dataset, images, 0)
    cache.fill(detector, 0)
    encode = detector.clip.compile("vision", detector.extract)
    for cached, read in zip(cache.batches(2, 4), images.batches(2, 4, 0), strict=True):
        for name in ("mask", "label", "class_id"):
            np.testing.assert_array_equal(cached[name], read[name])
        expected = encode(read["image"])
        for x, y in zip(cached["features"], expected, strict=True):
            np.testing.assert_allclose(x.astype(np.float32), y, rtol=2**-8, atol=1e-4 * np.abs(y).max())
    kinds = [images, dataclasses.replace(images, seed=4)]
    kinds.append(LabelledImages(*fields(images)))
    folders = {FeatureCache.create(detector, dataset, kind, 0).store.directory for kind in kinds}
    assert len(folders) == 3


def fields(images: PastedImages) -> list:
    return [getattr(images, field.name) for field in dataclasses.fields(images)]


def test_training_lowers_the_loss_with_and_without_a_cache(config: TrainConfig, tmp_path: Path) -> None:
    train_method(config, tmp_path / "run")
    logged = losses(tmp_path / "run")
    assert len(logged) == 15
    assert logged[-3:].mean() < 0.95 * logged[:3].mean()
    assert set(read_log(tmp_path / "run/log.jsonl")[0]) == {"step", "loss", "image", "focal", "dice"}
    train_method(dataclasses.replace(config, cache_features=True, epochs=2), tmp_path / "cached")
    np.testing.assert_allclose(losses(tmp_path / "cached"), logged[:5], rtol=3e-3)  # bfloat16


class Interrupted(Exception):
    pass


def test_a_resumed_run_equals_an_uninterrupted_one(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = loop.Log.add

    def interrupt(self, step, terms, flush):
        if step == 7:
            raise Interrupted
        return add(self, step, terms, flush)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Log, "add", interrupt)
        with pytest.raises(Interrupted):
            train_method(config, tmp_path / "resumed", Resources(save_every=4))
    assert not (tmp_path / "resumed/params").exists()
    train_method(config, tmp_path / "resumed", Resources(save_every=4))
    train_method(config, tmp_path / "whole")
    assert (tmp_path / "resumed/log.jsonl").read_bytes() == (tmp_path / "whole/log.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"whole: .*auxiliary cutpaste, but this one has None.*--out"):
        train_method(dataclasses.replace(config, auxiliary=None), tmp_path / "whole")


def test_bad_input(config: TrainConfig, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="--auxiliary=mixup is not one of cutpaste"):
        train_method(dataclasses.replace(config, auxiliary="mixup"), tmp_path / "a")
    save(made_image(1), tmp_path / "tests/cup/test/bent/0.png")
    save(made_image(2), tmp_path / "tests/cup/test/good/0.png")
    tests_only = dataclasses.replace(config, data_dir=str(tmp_path / "tests"), categories=())
    with pytest.raises(InputError, match=r"/tests: no normal image in any train folder.*--auxiliary"):
        train_method(tests_only, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    broken = folder / "metal_nut/train/good/002.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(InputError, match=r"metal_nut/train/good/002.png: does not decode"):
        train_method(config, tmp_path / "broken")
