"""Tests of the pool of rendered pairs and of the batches drawn from it."""

import jax
import numpy as np
import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining import pairs as module
from vlmad_jax.pretraining import views
from vlmad_jax.pretraining.pairs import CaptionedPairs, Pool, batches, draw_windows
from vlmad_jax.pretraining.views import CELLS, show, show_share
from vlmad_jax.scoring.windows import sliding_windows
from vlmad_jax.training import array_store


def small_pool(directory, seed: int = 3, second_normal_image: bool = False) -> Pool:
    pool = Pool(directory, size=3, side=32, seed=seed, second_normal_image=second_normal_image)
    pool.store.create()
    return pool


def assert_equal(a: dict, b: dict) -> None:
    assert set(a) == set(b)
    for name in a:
        for x, y in zip(jax.tree.leaves(a[name]), jax.tree.leaves(b[name]), strict=True):
            np.testing.assert_array_equal(x, y, err_msg=name, strict=True)


def rendered(pool: Pool, index: int) -> dict:
    """Return a pair with its images."""
    pool[index]
    return pool.store.read(index)


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Pool:
    return small_pool(tmp_path_factory.mktemp("pool"))


def test_a_pair_is_a_function_of_seed_and_number(pool, tmp_path):
    again = small_pool(tmp_path / "again")
    for index in (2, 0):  # in any order
        assert_equal(rendered(again, index), rendered(pool, index))
    other = small_pool(tmp_path / "other", seed=4)
    first = rendered(pool, 0)["normal"]
    assert not np.array_equal(rendered(other, 0)["normal"], first)
    assert not np.array_equal(rendered(pool, 1)["normal"], first)


def test_a_pair_may_have_a_second_normal_image(pool, tokenizer, tmp_path):
    """It shows the same product in the same view, and the pair does not depend on it."""
    sampled = small_pool(tmp_path, second_normal_image=True)
    pair, first = rendered(sampled, 1), rendered(pool, 0)["normal"]
    assert_equal({name: x for name, x in pair.items() if name != "reference"}, rendered(pool, 1))
    assert (pair["reference"].shape, pair["reference"].dtype) == ((32, 32, 3), np.uint8)
    assert not np.array_equal(pair["reference"], pair["normal"])
    colours = [x.reshape(-1, 3).mean(axis=0) for x in (pair["reference"], pair["normal"], first)]
    assert np.abs(colours[0] - colours[1]).max() < np.abs(colours[2] - colours[1]).max()
    (batch,) = batches(CaptionedPairs(sampled, 4, tokenizer), 2, 3, 2, workers=0)
    (without,) = batches(CaptionedPairs(pool, 4, tokenizer), 2, 3, 2, workers=0)
    view = CaptionedPairs(sampled, 4, tokenizer)(4)["view"]
    np.testing.assert_array_equal(batch["reference"][0], shown(pair["reference"], view))
    assert_equal({name: x for name, x in batch.items() if name != "reference"}, without)


def shown(image: np.ndarray, view: views.View) -> np.ndarray:
    return np.asarray(show(image[None], jax.tree.map(lambda x: np.asarray(x)[None], view))[0])


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
        pair = rendered(pool, index)
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
    first = rendered(interrupted, 0)
    interrupted.store.arrays["normal"][1][:16] = 77
    interrupted.store.arrays["normal"][0][:] = 5
    for array in interrupted.store.arrays.values():
        array.flush()
    resumed = small_pool(tmp_path)
    assert_equal(rendered(resumed, 1), rendered(pool, 1))
    assert_equal(rendered(resumed, 0), first | {"normal": np.full((32, 32, 3), 5, np.uint8)})
    assert resumed.store.arrays["ready"].tolist() == [1, 1, 0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pool_is_filled(pool, tmp_path, workers, monkeypatch):
    again = small_pool(tmp_path)
    again.store.write(1, {"normal": 7})  # a pair that is there is not rendered again
    again.fill(workers)
    assert again.store.missing() == []
    for index in (0, 2):
        assert_equal(again.store.read(index), rendered(pool, index))
    assert (rendered(again, 1)["normal"] == 7).all()
    monkeypatch.setattr(Pool, "render", None)
    again.fill(workers)


def test_an_item_is_a_view_of_a_pair_with_captions(pool, tokenizer):
    pairs = CaptionedPairs(pool, 4, tokenizer)
    for index in (1, 4, 7):  # the same pair each time
        pair, item = rendered(pool, 1), pairs(index)
        assert (item["row"], item["group"]) == (1, pair["names"][0])
        np.testing.assert_array_equal(item["share"], show_share(pair["share"], item["view"], 4))
        for name in ("normal_contrast", "anomalous_contrast", "normal_state", "anomalous_state"):
            token_ids = item[f"{name}_caption"]
            assert (token_ids.shape, token_ids.dtype) == ((24,), np.int32)
            assert tokenizer.eos_token_id in token_ids
    assert_equal(pairs(4), pairs(4))
    for name in ("view", "normal_contrast_caption"):
        with pytest.raises(AssertionError):
            assert_equal({name: pairs(1)[name]}, {name: pairs(4)[name]})


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
    late = list(batches(pairs, 2, 3, 2, workers=1))
    assert len(late) == 1
    assert_equal(late[0], whole[2])
    for row, item in enumerate((pairs(4), pairs(5))):
        images = rendered(pool, item.pop("row"))
        view = item.pop("view")
        item |= {kind: shown(images[kind], view) for kind in ("normal", "anomalous")}
        assert_equal(
            {name: np.asarray(value[row]) for name, value in whole[2].items()},
            {k: np.asarray(v) for k, v in item.items()},
        )


def test_images_on_an_accelerator(tokenizer, tmp_path, monkeypatch, capsys):
    """They are copied there if they are complete and fit, which changes no batch."""
    pool = small_pool(tmp_path)
    size = 2 * 3 * 32 * 32 * 3

    def found(free: int) -> list[dict]:
        monkeypatch.setattr(array_store, "free_device_memory", lambda: free)
        return list(batches(CaptionedPairs(pool, 4, tokenizer), 0, 2, 2, workers=0))

    # In the first, pairs are still rendered.
    first, *others = [found(free) for free in (3 * size, 0, 3 * size - 1, 3 * size)]
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert_equal(a, b)
    batchwise, kept = "copied to the accelerator batch by batch", "kept on the accelerator"
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" GB, ")[1] for line in lines] == [batchwise, batchwise, kept]
