"""The index is a TFDS data set that needs no TensorFlow, prints nothing, and is never outdated."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from tests.data.conftest import made_image, save
from vlmad_jax.data import DATASETS, load_dataset
from vlmad_jax.data.builder import make_builder
from vlmad_jax.errors import InputError
from vlmad_jax.runtime import cache


def test_the_index_has_a_tfds_builder(products: Path) -> None:
    made = make_builder(DATASETS["mvtec_ad"], products)
    assert isinstance(made, tfds.core.GeneratorBasedBuilder)
    assert made.info.full_name == "mvtec_ad/1.0.0"
    assert made.info.homepage == "https://www.mvtec.com/company/research/datasets/mvtec-ad"
    made.download_and_prepare()
    source = made.as_data_source("test")
    assert len(source) == 10
    assert source[0] == {
        "path": os.fsencode(products / "bottle/test/bent/000.png"),
        "category": b"bottle",
        "split": b"test",
        "defect": b"bent",
        "masks": os.fsencode(products / "bottle/ground_truth/bent/000_mask.png"),
        "marked": b"0.1",
        "fault": b"",
    }
    assert len(made.as_data_source("train")) == 10


def test_the_index_is_stored_until_a_file_changes(products: Path, cache: Path) -> None:
    first = load_dataset("folder", products)
    assert load_dataset("folder", products).samples == first.samples
    assert len(list((cache / "index").iterdir())) == 1
    save(made_image(70), products / "bottle/test/scratch/002.png")
    assert len(load_dataset("folder", products).samples) == len(first.samples) + 1
    os.utime(products / "bottle/test/scratch/002.png", ns=(0, 0))
    load_dataset("folder", products)
    assert len(list((cache / "index").iterdir())) == 3


def test_no_temporary_folder_is_left(products: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    load_dataset("folder", products)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_circular_links_end(products: Path) -> None:
    (products / "bottle/round").symlink_to(products)
    assert len(load_dataset("folder", products).samples) == 20


def test_a_failed_scan_leaves_no_index(products: Path, cache: Path) -> None:
    (products / "bottle/test/scratch/001.png").unlink()
    with pytest.raises(InputError):
        load_dataset("folder", products)
    assert not list((cache / "index").glob("*/*/1.0.0"))


def test_a_cache_that_cannot_be_written(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(blocked))
    with pytest.raises(InputError, match=r"file.*cannot be written .*set VLMAD_JAX_CACHE"):
        load_dataset("folder", products)
    with pytest.raises(InputError, match=r"file.*cannot be written .*set VLMAD_JAX_CACHE"):
        load_dataset("synthetic")


def test_loading_is_silent_and_needs_no_tensorflow(products: Path) -> None:
    code = (
        "import sys; from vlmad_jax.data import load_dataset; "
        "assert not {'tensorflow_datasets', 'grain'} & set(sys.modules); "
        f"assert len(load_dataset('folder', {str(products)!r}).samples) == 20; "
        "assert not {'tensorflow', 'torch', 'grain'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_index_of_another_version_is_not_used(products: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_builder(DATASETS["folder"], products).data_path
    monkeypatch.setattr(cache, "CACHE_VERSION", 0)
    assert make_builder(DATASETS["folder"], products).data_path != place


def test_without_array_record_the_index_is_a_plain_file(
    products: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_tfds = load_dataset("folder", products)
    monkeypatch.setitem(sys.modules, "array_record", None)
    assert load_dataset("folder", products) == by_tfds
    (made,) = cache.glob("index/*/*.jsonl")
    before = made.stat()
    assert load_dataset("folder", products) == by_tfds
    assert made.stat() == before
    save(made_image(71), products / "bottle/test/scratch/003.png")
    assert len(load_dataset("folder", products).samples) == len(by_tfds.samples) + 1
    assert len(list(cache.glob("index/*/*.jsonl"))) == 2
