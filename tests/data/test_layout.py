"""Every image in the MVTec layout is read, or listed as skipped."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import SIZE, made_image, make_category, make_visa, mask, save
from tests.data.test_datasets import fails
from vlmad_jax.data import DataSet, load_dataset
from vlmad_jax.data.checks import (
    NO_PIXEL_METRICS,
    NO_PIXEL_TRAINING,
    file_notices,
    mask_notices,
    print_notices,
)
from vlmad_jax.data.pipeline import batches
from vlmad_jax.data.references import read_manifest, write_manifest

LATIN_1 = os.fsdecode(b"pi\xe8ce")


@pytest.fixture
def bottle(tmp_path: Path) -> Path:
    make_category(tmp_path / "products/bottle")
    return tmp_path / "products/bottle"


def masks_of(dataset: DataSet) -> dict[str, list[str]]:
    """Return the names of masks by the path of their image below the category."""
    return {
        dataset.relative(s.path).partition("/")[2]: [
            dataset.relative(path).partition("ground_truth/")[2] for path in s.masks
        ]
        for s in dataset.samples
        if s.label
    }


def read(bottle: Path) -> DataSet:
    return load_dataset("folder", bottle.parent)


def test_mvtec_loco(tmp_path: Path) -> None:
    category = tmp_path / "loco/juice_bottle"
    for split, name in (("train", "good"), ("validation", "good"), ("test", "good")):
        save(made_image(1), category / split / name / "000.png")
    halves = [np.zeros(SIZE[::-1], np.uint8) for _ in range(2)]
    halves[0][:2], halves[1][8:] = 251, 3
    for defect in ("logical_anomalies", "structural_anomalies"):
        save(made_image(2), category / "test" / defect / "000.png")
    for number, half in enumerate(halves):
        save(Image.fromarray(half), category / f"ground_truth/logical_anomalies/000/{number:03}.png")
    save(mask(5), category / "ground_truth/structural_anomalies/000/000.png")
    save(mask(), category / "defects_config.json.png").rename(category / "defects_config.json")
    dataset = load_dataset("folder", tmp_path / "loco")
    assert masks_of(dataset) == {
        "test/logical_anomalies/000.png": ["logical_anomalies/000/000.png", "logical_anomalies/000/001.png"],
        "test/structural_anomalies/000.png": ["structural_anomalies/000/000.png"],
    }
    assert [sample.marked for sample in dataset.select("juice_bottle", "test")] == [None, 0.4, 0.1]
    (batch,) = batches([dataset.select("juice_bottle", "test")], 10, 4, workers=0, with_masks=True)
    assert batch.mask[1].all(axis=1).tolist() == [True, True, *[False] * 6, True, True]
    assert batch.mask[1].sum() == 40
    assert file_notices(dataset) == [
        "skipped: 1 image in validation/: train/good and test/<defect> are read "
        "(juice_bottle/validation/good/000.png)"
    ]
    before = dataset.fingerprint
    save(mask(5), category / "ground_truth/structural_anomalies/000/001.png")
    assert load_dataset("folder", tmp_path / "loco").fingerprint != before
    (category / "ground_truth/structural_anomalies/000").rename(
        category / "ground_truth/structural_anomalies/007"
    )
    fails(
        r"structural_anomalies/007/000\.png: the image of this mask is missing",
        *("folder", tmp_path / "loco"),
    )


def test_nested_folders_are_read(bottle: Path) -> None:
    for lot in ("lot1", "lot2"):
        save(made_image(5), bottle / f"train/good/{lot}/000.png")
        save(made_image(6), bottle / f"test/scratch/{lot}/000.png")
        save(mask(), bottle / f"ground_truth/scratch/{lot}/000_mask.png")
    dataset = read(bottle)
    found = masks_of(dataset)
    assert found["test/scratch/lot2/000.png"] == ["scratch/lot2/000_mask.png"]
    assert found["test/scratch/lot1/000.png"] == ["scratch/lot1/000_mask.png"]
    assert found["test/scratch/000.png"] == ["scratch/000_mask.png"]
    assert len(dataset.select("bottle", "train")) == 7
    assert dataset.has_masks("bottle")
    assert file_notices(dataset) == []
    (bottle / "test/scratch/lot1/000.png").unlink()
    fails(r"lot1/000_mask\.png: the image of this mask is missing; add .*lot1/000\.", "folder", bottle)


def test_circular_links_end(bottle: Path) -> None:
    for place, target in (
        ("test/scratch/up", bottle.parent),
        ("test/bent/across", bottle / "test/good"),
        ("train/good/down", bottle / "test/scratch"),
        ("test/scratch/root", Path("/")),
        ("ground_truth/scratch/up", bottle / "ground_truth"),
    ):
        (bottle / place).symlink_to(target)
    dataset = read(bottle)
    assert len(dataset.samples) == 10
    assert file_notices(dataset) == []
    elsewhere = bottle.parents[1] / "elsewhere"
    save(made_image(1), elsewhere / "1.png")
    (bottle / "test/scratch/linked").symlink_to(elsewhere)
    assert len(read(bottle).samples) == 11


def test_skipped_files_are_printed_each_time(bottle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = bottle.parent
    save(made_image(1), bottle / "test/scratch/x.heic", format="PNG")
    for name in ("a.heic", "notes.txt", "raw"):
        (bottle / "test/bent" / name).write_bytes(b"?")
    for name in (
        "test/bent/Thumbs.db",
        "test/.DS_Store",
        "license.txt",
        "../readme.txt",
        "test/bent/._0.png",
    ):
        (bottle / name).write_bytes(b"?")
    for name in (
        *("test/7.png", "test/bent/.8.png", "train/bad/9.png", "train/8.png", "extra/a/9.png", "9.png"),
        *("test/good/.cache/1.png", "../10.png", "../lid/Test/1.png", "ground_truth/dent/0_mask.png"),
    ):
        save(made_image(1), bottle / name)
    (root / "empty").mkdir()
    expected = [
        "1 image beside the folders of categories (10.png)",
        "1 folder that holds images, but neither train/good nor test (lid)",
        "1 image in the folder of a category itself: train/good and test/<defect> are read (bottle/9.png)",
        "1 image in extra/: train/good and test/<defect> are read (bottle/extra/a/9.png)",
        "1 mask without its image (bottle/ground_truth/dent/0_mask.png)",
        "1 image in test/ itself: test/<defect> is read (bottle/test/7.png)",
        "1 file with a hidden name (bottle/test/bent/.8.png)",
        "2 files with the suffix .heic, which is not read (bottle/test/bent/a.heic)",
        "1 file with the suffix .txt, which is not read (bottle/test/bent/notes.txt)",
        "1 file without a suffix (bottle/test/bent/raw)",
        "1 image in a hidden folder (bottle/test/good/.cache/1.png)",
        "1 image in train/ itself: train/good is read (bottle/train/8.png)",
        "1 image in train/bad/: train/good is read (bottle/train/bad/9.png)",
    ]
    for _ in range(2):  # the second time the index is in the cache
        capsys.readouterr()
        print_notices(load_dataset("folder", root))
        assert capsys.readouterr().err.splitlines() == [f"skipped: {line}" for line in expected]
    make_category(root / "cap")
    assert file_notices(load_dataset("folder", root, ["cap"])) == []
    assert len(file_notices(load_dataset("mvtec_ad", root, ["bottle"]))) == 11


def test_missing_masks(bottle: Path) -> None:
    make_category(bottle.parent / "cap", masks=False)
    (bottle / "ground_truth/scratch/001_mask.png").unlink()
    dataset = read(bottle)
    assert not dataset.has_masks("bottle")
    assert mask_notices(dataset, NO_PIXEL_METRICS) == [
        "bottle: 1 of 3 anomalous images has no mask (bottle/test/scratch/001.png), so its pixel metrics are "
        "skipped",
        "cap: no masks of anomalous images, so their pixel metrics are skipped",
    ]
    (bottle / "ground_truth/scratch/000_mask.png").unlink()
    assert mask_notices(read(bottle), NO_PIXEL_TRAINING)[0] == (
        "bottle: 2 of 3 anomalous images have no mask (bottle/test/scratch/000.png), so its pixels are not "
        "trained on"
    )
    only = load_dataset("folder", bottle.parent, ["cap"])
    assert mask_notices(only, NO_PIXEL_METRICS) == [
        "no category has masks of its anomalous images, so pixel metrics are skipped"
    ]


def test_masks_that_mark_nothing_everything_or_a_normal_image(bottle: Path) -> None:
    scratches = bottle / "ground_truth/scratch"
    save(mask(0), scratches / "001_mask.png")
    dataset = read(bottle)
    assert not dataset.has_masks("bottle")
    assert [sample.has_mask for sample in dataset.select("bottle", "test")] == [True, True, True, True, False]
    assert mask_notices(dataset, NO_PIXEL_METRICS) == [
        "bottle: 1 of 3 anomalous images has a mask that marks nothing "
        "(bottle/ground_truth/scratch/001_mask.png), so its pixel metrics are skipped; draw it above 0"
    ]
    save(Image.new("RGB", SIZE, "white"), scratches / "001_mask.png")
    save(Image.eval(mask(), lambda value: 255 - value), scratches / "000_mask.png")
    save(mask(), bottle / "ground_truth/good/001_mask.png")
    save(mask(0), bottle / "ground_truth/good/000_mask.png")
    dataset = read(bottle)
    assert dataset.has_masks("bottle")
    assert [s.marked for s in dataset.select("bottle", "test")] == [0.1, 0, 0.1, 0.9, 1]
    inverted, good = mask_notices(dataset, NO_PIXEL_METRICS)
    assert "2 of 3 anomalous images have masks that mark nearly everything" in inverted
    assert "bottle/ground_truth/scratch/000_mask.png, 90%" in inverted
    assert "invert the masks" in inverted
    assert "1 of 2 normal images has a mask that marks something" in good
    assert "bottle/ground_truth/good/001_mask.png" in good
    assert "move the image to a defect, or remove the masks" in good
    (batch,) = batches([dataset.select("bottle", "test")], 10, 8, workers=0, with_masks=True)
    bent, *normal, other, white = (int(x.sum()) for x in batch.mask[:5])
    assert (normal, white) == ([0, 0], 100)
    assert bent + other == 100  # one mask is the inverse of the other


@pytest.mark.parametrize(("image", "drawn"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_match_in_either_spelling(bottle: Path, image: str, drawn: str) -> None:
    spelt = {form: unicodedata.normalize(form, "rayé") for form in ("NFC", "NFD")}
    save(made_image(1), bottle / f"test/scratch/{spelt[image]}.png")  # type: ignore[index]
    save(mask(), bottle / f"ground_truth/scratch/{spelt[drawn]}_mask.png")  # type: ignore[index]
    save(made_image(1), bottle / f"test/{spelt[image]}/0.png")  # type: ignore[index]
    save(mask(), bottle / f"ground_truth/{spelt[drawn]}/0.png")  # type: ignore[index]
    category = bottle.rename(bottle.with_name(unicodedata.normalize(image, "pièce")))
    dataset = load_dataset("folder", category.parent, [unicodedata.normalize(drawn, "pièce")])
    assert dataset.categories == (category.name,)
    assert dataset.has_masks(category.name)
    assert dataset.object_name(category.name) == "pièce"
    fails("--categories: folder has no category 'piece'", "folder", category.parent, ["piece"])


@pytest.mark.parametrize("name", ["NFC", "NFD", "backslash", "latin"])
def test_a_manifest_finds_references_in_any_spelling(bottle: Path, tmp_path: Path, name: str) -> None:
    spelt = {"backslash": "a\\b", "latin": LATIN_1}.get(name) or unicodedata.normalize(name, "café")  # type: ignore[arg-type]
    save(made_image(1), bottle / f"train/good/{spelt}.png")
    dataset = read(bottle)
    sample = next(s for s in dataset.samples if s.path.endswith(f"{spelt}.png"))
    write_manifest(tmp_path / "references.json", {"bottle": [sample]})
    text = (tmp_path / "references.json").read_text(encoding="utf-8")
    for listed in (text, unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text)):
        (tmp_path / "references.json").write_text(listed, encoding="utf-8")
        assert read_manifest(tmp_path / "references.json", dataset) == {"bottle": (sample,)}


def test_visa_files_are_found_in_either_spelling(tmp_path: Path) -> None:
    make_visa(tmp_path)
    table = tmp_path / "split_csv/1cls.csv"
    table.write_text(table.read_text().replace("candle/", "pièce/").replace("Masks/", "Masqués/"))
    (tmp_path / "candle").rename(tmp_path / unicodedata.normalize("NFD", "pièce"))
    for category in (unicodedata.normalize("NFD", "pièce"), "pcb1"):
        (tmp_path / category / "Data/Masks").rename(
            tmp_path / category / "Data" / unicodedata.normalize("NFD", "Masqués")
        )
    dataset = load_dataset("visa", tmp_path)
    assert dataset.has_masks("candle")
    assert all(os.path.exists(path) for s in dataset.samples for path in (s.path, *s.masks))


def test_names_that_are_not_utf_8(bottle: Path) -> None:
    category = bottle.rename(bottle.with_name(LATIN_1))
    save(made_image(1), category / f"test/{LATIN_1}/{LATIN_1}.png")
    save(mask(), category / f"ground_truth/{LATIN_1}/{LATIN_1}_mask.png")
    dataset = load_dataset("folder", category.parent, [LATIN_1])
    assert dataset.categories == (LATIN_1,)
    assert dataset.samples[-3].masks == (f"{category}/ground_truth/{LATIN_1}/{LATIN_1}_mask.png",)
    assert dataset.object_name(LATIN_1) == "pièce"
    assert len(dataset.fingerprint) == 16
    assert load_dataset("folder", category.parent).samples == dataset.samples
