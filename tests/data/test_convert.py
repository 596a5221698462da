"""A converted data set is the same data set: labels, masks and their order."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import mask
from tests.data.stand_ins import STAND_INS, corner
from tests.experiments.command import here
from vlmad_jax.data import DataSet, load_dataset
from vlmad_jax.data.convert import convert
from vlmad_jax.data.images import open_image
from vlmad_jax.data.masks import read_masks
from vlmad_jax.errors import InputError


def contents(dataset: DataSet, defects: bool = True) -> list[tuple[object, ...]]:
    """The labels, pixels and masks of the samples, in an order that their names do not change."""
    rows = []
    for sample in dataset.samples:
        pixels = np.asarray(open_image(sample.path)).tobytes()
        marked = (read_masks(sample.masks) > 0).tobytes() if sample.label and sample.masks else b""
        rows.append(
            (sample.category, sample.split, sample.defect if defects else sample.label, pixels, marked)
        )
    return sorted(rows, key=repr)


@pytest.mark.parametrize("name", ["mvtec_loco", "real_iad", "isic", "dagm"])
def test_meta_json_and_back(name: str, tmp_path: Path) -> None:
    STAND_INS[name](tmp_path / name)
    dataset = load_dataset(name, tmp_path / name)
    convert(dataset, "meta_json", tmp_path / "out")
    assert contents(load_dataset("meta_json", tmp_path / "out")) == contents(dataset)


def test_the_entries_of_meta_json(tmp_path: Path) -> None:
    STAND_INS["mvtec_loco"](tmp_path / "loco")
    convert(load_dataset("mvtec_loco", tmp_path / "loco"), "meta_json", tmp_path / "loco")
    listed = json.loads((tmp_path / "loco/meta.json").read_text())
    assert list(listed) == ["train", "test"]
    assert listed["test"]["pushpins"][2] == {
        "img_path": "pushpins/test/logical_anomalies/000.png",
        "mask_path": "masks/000004.png",
        "cls_name": "pushpins",
        "specie_name": "logical_anomalies",
        "anomaly": 1,
    }
    assert listed["test"]["pushpins"][3]["mask_path"] == (
        "pushpins/ground_truth/structural_anomalies/000/000.png"
    )
    assert listed["test"]["pushpins"][0]["mask_path"] == ""
    union = (np.asarray(mask()) > 0) | (np.asarray(corner()) > 0)
    np.testing.assert_array_equal(read_masks([tmp_path / "loco/masks/000004.png"]) > 0, union)


@pytest.mark.parametrize("name", ["mvtec_loco", "btad", "ksdd2", "real_iad"])
def test_the_mvtec_layout_and_back(name: str, tmp_path: Path) -> None:
    STAND_INS[name](tmp_path / name)
    dataset = load_dataset(name, tmp_path / name)
    convert(dataset, "mvtec", tmp_path / "out")
    expected = [row for row in contents(dataset) if not (row[1] == "train" and row[2] != "good")]
    assert contents(load_dataset("folder", tmp_path / "out")) == expected


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    STAND_INS["ksdd"](tmp_path / "ksdd")
    given = ["--dataset=ksdd", f"--data_dir={tmp_path / 'ksdd'}"]
    done = here(capsys, "convert", *given, "--to=mvtec", f"--out={tmp_path / 'out'}")
    assert (done.code, done.stdout) == (0, f"9 images of 1 categories are listed in {tmp_path / 'out'}\n")
    assert len(list((tmp_path / "out/commutator/test/defect").iterdir())) == 3
    done = here(capsys, "convert", *given)
    assert (
        done.stderr
        == "error: --dataset or --out is missing; give for example --dataset=visa --out=converted\n"
    )
    dataset = load_dataset("ksdd", tmp_path / "ksdd")
    with pytest.raises(InputError, match="holds the data set itself; give another folder"):
        convert(dataset, "mvtec", tmp_path / "ksdd")
    with pytest.raises(InputError, match="--to=coco: give meta_json or mvtec"):
        convert(dataset, "coco", tmp_path / "out")
