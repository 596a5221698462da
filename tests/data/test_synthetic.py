"""The synthetic set is rendered once by several processes and depends only on its seeds."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.data import load_dataset
from vlmad_jax.data.images import open_image
from vlmad_jax.data.masks import read_mask, read_masks
from vlmad_jax.runtime import cache as kept
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.synthetic import dataset_images as synthetic_images
from vlmad_jax.synthetic.dataset_images import Plan, jobs, render_all

SMALL = Plan(size=48, train=1, good=1, defective=2)


def test_jobs_of_a_plan() -> None:
    found = jobs(Plan())
    assert len(found) == 8 * (16 + 20 + 40)
    assert len({job.image for job in found}) == len({job.seed for job in found}) == len(found)
    assert " " not in "".join(job.image for job in found)
    for family in rendering.TEST_FAMILIES:
        mine = [job for job in found if job.family == family]
        defects = Counter(job.defect for job in mine if job.defect)
        assert set(defects) == set(rendering.defects_of(family))
        assert sum(defects.values()) == 40
        assert max(defects.values()) - min(defects.values()) <= 1
        assert sum("/train/good/" in job.image for job in mine) == 16


def test_rendered_once_and_read_like_a_folder(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setitem(synthetic_images.PLANS, "synthetic", SMALL)
    dataset = load_dataset("synthetic")
    folders = list((cache / "synthetic").iterdir())
    assert [folder.name for folder in folders] == [cache_key(repr(SMALL))]
    before = (folders[0].stat().st_mtime_ns, dataset.samples)
    again = load_dataset("synthetic")
    assert (folders[0].stat().st_mtime_ns, again.samples) == before
    assert len(dataset.samples) == 8 * 4
    assert set(dataset.categories) == {family.replace(" ", "_") for family in rendering.TEST_FAMILIES}
    assert all(map(dataset.has_masks, dataset.categories))
    for sample in dataset.samples:
        assert open_image(sample.path).size == (48, 48)
        if sample.masks:
            values = read_masks(sample.masks)
            assert values.shape == (48, 48)
            assert 0 < values.mean() < 0.9


def test_processes_render_the_images_of_the_seeds(tmp_path: Path) -> None:
    render_all(tmp_path, SMALL)
    job = next(job for job in jobs(SMALL) if job.defect and job.family == "hex nut")
    product = rendering.make_product("hex nut", job.seed[:2])
    _, pixels, mask = rendering.render_pair(product, job.defect, job.seed, 48)
    assert np.array_equal(np.asarray(open_image(tmp_path / job.image)), pixels)
    assert np.array_equal(read_mask(tmp_path / str(job.mask)), mask)


def test_a_failed_process_raises_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RuntimeError, match="rendering the synthetic data set failed"):
        render_all(tmp_path / "file", SMALL)
    assert "NotADirectoryError" in capfd.readouterr().err


def test_the_cache_key_depends_on_the_plan_and_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = (Plan(), Plan(seed=2), Plan(size=128), SMALL)
    before = [cache_key(repr(plan)) for plan in plans]
    assert len(set(before)) == 4
    monkeypatch.setattr(kept, "CACHE_VERSION", 0)
    assert not {cache_key(repr(plan)) for plan in plans} & set(before)
