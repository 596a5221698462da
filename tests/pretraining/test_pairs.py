"""Tests of the pool of rendered pairs and of the batches drawn from it."""

import itertools

import numpy as np
import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining import pairs as module
from vlmad_jax.pretraining.pairs import (
    CELLS,
    SMALLEST_CROP,
    CaptionedPairs,
    Pool,
    batches,
    cell_means,
    draw_crop,
    draw_tones,
    draw_windows,
)
from vlmad_jax.scoring.windows import sliding_windows


def small_pool(directory, seed: int = 3, second_normal_image: bool = False) -> Pool:
    pool = Pool(directory, size=3, side=32, seed=seed, second_normal_image=second_normal_image)
    pool.store.create()
    return pool


def assert_equal(a: dict, b: dict) -> None:
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name, strict=True)


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Pool:
    return small_pool(tmp_path_factory.mktemp("pool"))


def test_a_pair_is_a_function_of_seed_and_number(pool, tmp_path):
    again = small_pool(tmp_path / "again")
    for index in (2, 0):  # in any order
        assert_equal(again[index], pool[index])
    other = small_pool(tmp_path / "other", seed=4)
    assert not np.array_equal(other[0]["normal"], pool[0]["normal"])
    assert not np.array_equal(pool[1]["normal"], pool[0]["normal"])


def test_a_pair_may_have_a_second_normal_image(pool, tokenizer, tmp_path):
    """It shows the same product with the same augmentation, and the pair does not depend on it."""
    sampled = small_pool(tmp_path, second_normal_image=True)
    pair = sampled[1]
    assert_equal({name: x for name, x in pair.items() if name != "reference"}, pool[1])
    assert (pair["reference"].shape, pair["reference"].dtype) == ((32, 32, 3), np.uint8)
    assert not np.array_equal(pair["reference"], pair["normal"])
    colours = [x.reshape(-1, 3).mean(axis=0) for x in (pair["reference"], pair["normal"], pool[0]["normal"])]
    assert np.abs(colours[0] - colours[1]).max() < np.abs(colours[2] - colours[1]).max()
    item, without = CaptionedPairs(sampled, 4, tokenizer)(4), CaptionedPairs(pool, 4, tokenizer)(4)
    assert item["reference"].shape == (32, 32, 3)
    assert_equal({name: x for name, x in item.items() if name != "reference"}, without)


def test_the_share_of_pairs_of_invented_objects(tmp_path):
    assert Pool(tmp_path, 1, 32, 0).shares == list(module.SHARES.values())
    textures, objects, inventions = Pool(tmp_path, 1, 32, 0, invented_share=0.7).shares
    assert (textures + objects + inventions, inventions) == (pytest.approx(1), 0.7)
    assert textures / objects == pytest.approx(0.15 / 0.4)
    invented = Pool(tmp_path, 1, 32, 0, invented_share=1.0)
    for index in range(4):
        family, _ = invented.render(index)["names"]
        assert rendering.TRAIN_FAMILIES[family] in rendering.TRAIN_INVENTIONS


def test_a_pair_holds_a_defect(pool):
    for index in range(3):
        pair = pool[index]
        assert {name: (x.shape, x.dtype.name) for name, x in pair.items()} == {
            "normal": ((32, 32, 3), "uint8"),
            "anomalous": ((32, 32, 3), "uint8"),
            "share": ((CELLS, CELLS), "float32"),
            "names": ((2,), "int32"),
        }
        assert 0 < pair["share"].max() <= 1
        changed = np.abs(pair["normal"].astype(int) - pair["anomalous"]).max(axis=-1) > 20
        assert changed.any()
        family, defect = pair["names"]
        kind = list(rendering.DEFECTS.values())[defect]
        names = [
            d.name if hasattr(d, "name") else d
            for d in rendering.defects_of(rendering.TRAIN_FAMILIES[family])
        ]
        assert list(rendering.DEFECTS)[defect] in names or kind in names


def test_an_interrupted_pool_is_resumed(pool, tmp_path):
    """Pairs marked as ready are read. Other pairs, even half-written ones, are rendered again."""
    interrupted = small_pool(tmp_path)
    first = interrupted[0]
    interrupted.store.arrays["normal"][1][:16] = 77
    interrupted.store.arrays["normal"][0][:] = 5
    for array in interrupted.store.arrays.values():
        array.flush()
    resumed = small_pool(tmp_path)
    assert_equal(resumed[1], pool[1])
    assert_equal(resumed[0], first | {"normal": np.full((32, 32, 3), 5, np.uint8)})
    assert resumed.store.arrays["ready"].tolist() == [1, 1, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pool_is_filled(pool, tmp_path, workers, monkeypatch):
    again = small_pool(tmp_path)
    again.store.write(1, {"normal": 7})  # a pair that is there is not rendered again
    again.fill(workers)
    assert again.store.missing() == []
    for index in (0, 2):
        assert_equal(again.store.read(index), pool[index])
    assert (again[1]["normal"] == 7).all()
    monkeypatch.setattr(Pool, "render", None)
    again.fill(workers)


def test_an_item_is_the_pair_turned_mirrored_and_recoloured(pool, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "CROP_PROBABILITY", 0)
    monkeypatch.setattr(module, "draw_tones", lambda rng: np.arange(256, dtype=np.uint8))
    pairs = CaptionedPairs(pool, 4, tokenizer)
    for index in (1, 4, 7):  # the same pair each time
        pair, item = pool[1], pairs(index)
        ways = [
            (colours, k, mirror)
            for colours, k, mirror in itertools.product(itertools.permutations(range(3)), range(4), (1, -1))
            if np.array_equal(np.rot90(pair["normal"][:, ::mirror], k)[..., list(colours)], item["normal"])
        ]
        assert ways
        assert any(
            np.array_equal(np.rot90(pair["anomalous"][:, ::mirror], k)[..., list(colours)], item["anomalous"])
            and np.array_equal(np.rot90(cell_means(pair["share"], 4)[:, ::mirror], k), item["share"])
            for colours, k, mirror in ways
        )
        assert item["group"] == pair["names"][0]
        for name in ("normal_contrast", "anomalous_contrast", "normal_state", "anomalous_state"):
            token_ids = item[f"{name}_caption"]
            assert (token_ids.shape, token_ids.dtype) == ((24,), np.int32)
            assert tokenizer.eos_token_id in token_ids
    assert_equal(pairs(4), pairs(4))
    assert any(
        not np.array_equal(pairs(1)[name], pairs(4)[name]) for name in ("normal", "normal_contrast_caption")
    )


def test_crops_keep_most_of_the_defect(pool):
    share = pool[1]["share"]
    sizes = set()
    for seed in range(100):
        rows, columns = draw_crop(np.random.default_rng(seed), share)
        size = rows.stop - rows.start
        assert size == columns.stop - columns.start
        assert share[rows, columns].shape == (size, size)
        assert share[rows, columns].sum() > share.sum() / 2
        sizes.add(size)
    assert min(sizes) >= SMALLEST_CROP
    assert len(sizes) > 5
    assert max(sizes) == CELLS


def test_a_crop_shows_the_same_part_of_both_images_and_of_the_mask(pool, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "draw_crop", lambda rng, share: (slice(2, 30), slice(4, 32)))
    monkeypatch.setattr(module, "draw_tones", lambda rng: np.arange(256, dtype=np.uint8))
    pair, item = pool[1], CaptionedPairs(pool, 4, tokenizer)(1)
    for name in ("normal", "anomalous"):
        part = module.resize(np.ascontiguousarray(pair[name][2:30, 4:32]), 32)
        assert sorted(part.sum(axis=-1).ravel()) == sorted(item[name].astype(int).sum(axis=-1).ravel())
    mean = pair["share"][2:30, 4:32].reshape(4, 7, 4, 7).mean(axis=(1, 3))
    np.testing.assert_allclose(np.sort(item["share"], axis=None), np.sort(mean, axis=None), atol=1e-6)


def test_tones_keep_their_order():
    for seed in range(20):
        tones = draw_tones(np.random.default_rng(seed))
        assert (tones.shape, tones.dtype) == ((256,), np.uint8)
        assert (np.diff(tones.astype(int)) >= 0).all()
        assert tones[0] == 0
        assert 40 < tones[128] < 220


def test_labels_of_windows():
    """A window is labelled by its anomalous share, and weighs nothing if the share is small but not zero."""
    share = np.zeros((6, 6), np.float32)
    share[2, 3], share[5, 0] = 0.5, 0.05
    on_defect = 0
    for seed in range(200):
        drawn = draw_windows(np.random.default_rng(seed), share)
        for name, size in (("small_window", 2), ("large_window", 3)):
            windows = sliding_windows((6, 6), size).tolist()
            normal, anomalous = drawn[f"{name}_patches"]
            assert normal.tolist() in windows
            assert anomalous.tolist() in windows
            mean = share.ravel()[anomalous].mean()
            assert drawn[f"{name}_label"].tolist() == [0, float(mean >= 0.02)]
            assert drawn[f"{name}_weight"].tolist() == [1, float(mean >= 0.02 or mean == 0)]
            on_defect += mean >= 0.02
    assert 0.7 < on_defect / 400 < 0.9


def test_batches_from_any_step(pool, tokenizer):
    pairs = CaptionedPairs(pool, 4, tokenizer)
    whole = list(batches(pairs, 0, 3, 2, workers=0))
    assert len(whole) == 3
    late = list(batches(pairs, 2, 3, 2, workers=0))
    assert len(late) == 1
    assert_equal(late[0], whole[2])
    for row, item in enumerate((pairs(4), pairs(5))):
        assert_equal(
            {name: value[row] for name, value in whole[2].items()},
            {k: np.asarray(v) for k, v in item.items()},
        )
