"""Every official layout is read, and every fault in one is an error of one line."""

import os
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tests.data.conftest import SIZE, made_image, make_category, make_visa, mask, save
from vlmad_jax.data import DATASETS, DataSet, Sample, load_dataset
from vlmad_jax.errors import InputError


def counts(dataset: DataSet) -> Counter[tuple[str, str, str]]:
    return Counter((sample.category, sample.split, sample.defect) for sample in dataset.samples)


OF_A_CATEGORY = {("train", "good"): 5, ("test", "good"): 2, ("test", "scratch"): 2, ("test", "bent"): 1}


def pack(folder: Path, archive: Path, mode: str) -> Path:
    with tarfile.open(archive, mode) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return archive


def fails(message: str, *arguments: object) -> None:
    """Check that loading raises an error of one line that matches a pattern."""
    with pytest.raises(InputError, match=message) as raised:
        load_dataset(*arguments)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["mvtec_ad", "folder"])
def test_mvtec_layout(products: Path, name: str) -> None:
    dataset = load_dataset(name, products)
    expected = {(c, *key): n for c in ("bottle", "metal_nut") for key, n in OF_A_CATEGORY.items()}
    assert counts(dataset) == expected
    assert dataset.categories == ("bottle", "metal_nut")
    assert dataset.object_name("metal_nut") == "metal nut"
    assert dataset.samples[0] == Sample(f"{products}/bottle/train/good/000.png", "bottle", "train", "good")
    defective = [sample for sample in dataset.select("metal_nut", "test") if sample.label]
    assert [sample.defect for sample in defective] == ["bent", "scratch", "scratch"]
    assert defective[2].masks == (f"{products}/metal_nut/ground_truth/scratch/001_mask.png",)
    assert dataset.has_masks("bottle")


def test_mvtec_archive_is_extracted_once(products: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    archive = pack(products, held / "mvtec_anomaly_detection.tar.xz", "w:xz")
    expected = counts(load_dataset("mvtec_ad", products))
    assert counts(load_dataset("mvtec_ad", held)) == expected
    extracted = held / "mvtec_anomaly_detection"
    assert sorted(path.name for path in held.iterdir()) == [extracted.name, archive.name]
    before = extracted.stat().st_mtime_ns
    assert counts(load_dataset("mvtec_ad", archive)) == expected
    assert extracted.stat().st_mtime_ns == before


def test_a_changed_archive_is_refused(products: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    archive = pack(products, held / "mvtec_anomaly_detection.tar.xz", "w:xz")
    before = load_dataset("mvtec_ad", held).fingerprint
    save(made_image(77), products / "bottle/test/good/000.png")
    pack(products, archive, "w:xz")
    for data_dir in (held, archive):
        fails(rf"changed since it was extracted; remove {held}/mvtec_anomaly_detection", "mvtec_ad", data_dir)
    shutil.rmtree(held / "mvtec_anomaly_detection")
    assert load_dataset("mvtec_ad", held).fingerprint != before


def test_broken_and_hostile_archives(products: Path, tmp_path: Path) -> None:
    archive = pack(products, tmp_path / "mvtec_anomaly_detection.tar.xz", "w:xz")
    archive.write_bytes(archive.read_bytes()[:-200])
    fails(r"mvtec_anomaly_detection\.tar\.xz: cannot be extracted .*download it again", "mvtec_ad", archive)
    hostile = tmp_path / "hostile.tar"
    with tarfile.open(hostile, "w") as tar:
        tar.add(products / "bottle/train/good/000.png", "../outside.png")
    fails(r"hostile\.tar: cannot be extracted .*outside", "mvtec_ad", hostile)
    assert not (tmp_path / "outside.png").exists()
    assert not (tmp_path / "hostile").exists()
    assert not list(tmp_path.glob(".*"))
    plain = save(made_image(0), tmp_path / "image.png")
    fails(r"image\.png is neither a folder nor a \.tar archive", "mvtec_ad", plain)


def test_visa(tmp_path: Path) -> None:
    make_visa(tmp_path / "visa")
    dataset = load_dataset("visa", tmp_path / "visa")
    of_one = {("train", "good"): 3, ("test", "good"): 1, ("test", "anomaly"): 2}
    assert counts(dataset) == {(c, *key): n for c in ("candle", "pcb1") for key, n in of_one.items()}
    last = dataset.samples[-1]
    assert last.masks == (f"{tmp_path}/visa/pcb1/Data/Masks/Anomaly/001.png",)
    fingerprint = dataset.fingerprint
    pack(tmp_path / "visa", tmp_path / "VisA_20220922.tar", "w")
    shutil.rmtree(tmp_path / "visa")
    from_archive = load_dataset("visa", tmp_path)
    assert from_archive.root == f"{tmp_path}/VisA_20220922"
    assert from_archive.fingerprint == fingerprint


def test_broken_visa(tmp_path: Path) -> None:
    make_visa(tmp_path)
    table = tmp_path / "split_csv/1cls.csv"
    whole = table.read_text()
    table.write_text(whole.replace("anomaly,candle", "odd,candle", 1))
    fails(r"1cls\.csv, line 6: label, split or image .*restore the official file", "visa", tmp_path)
    table.write_text(whole.replace("mask", "masque", 1))
    fails(r"1cls\.csv: lacks the column mask", "visa", tmp_path)
    table.write_text(whole)
    (tmp_path / "pcb1/Data/Images/Anomaly/001.JPG").unlink()
    fails(r"001\.JPG \(the image of pcb1/.*001\.png\) is missing.*extract VisA again", "visa", tmp_path)
    table.unlink()
    fails("holds neither VisA's split_csv/1cls.csv nor VisA_20220922.tar", "visa", tmp_path)


def test_elpv() -> None:
    dataset = load_dataset("elpv")
    # Of the 2,624 cells, 295 have the probability 1/3 and are skipped.
    assert counts(dataset) == {
        ("mono", "train", "good"): 147,
        ("mono", "test", "good"): 441,
        ("mono", "test", "defective"): 369,
        ("poly", "train", "good"): 230,
        ("poly", "test", "good"): 690,
        ("poly", "test", "defective"): 452,
    }
    trained = [os.path.basename(sample.path) for sample in dataset.select("mono", "train")]
    assert trained[:3] == ["cell0480.png", "cell0518.png", "cell0519.png"]
    assert dataset.object_name("mono") == "monocrystalline solar cell"
    assert not dataset.has_masks("mono")


def test_elpv_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fails(r"labels\.csv is missing", "elpv", tmp_path)
    (tmp_path / "labels.csv").write_text("images/a.png 1.0\n")
    fails(r"labels\.csv, line 1: not a name", "elpv", tmp_path)
    (tmp_path / "labels.csv").write_text("images/a.png 1.0 mono\n")
    fails(r"images/a\.png is missing", "elpv", tmp_path)
    monkeypatch.setattr("vlmad_jax.data.datasets.elpv.find_spec", lambda name: None)
    fails(r"pip install -e '\.\[elpv\]'", "elpv")


def test_folder_without_masks_or_as_one_category(tmp_path: Path) -> None:
    make_category(tmp_path / "gear", masks=False)
    dataset = load_dataset("folder", tmp_path / "gear")
    assert dataset.categories == ("gear",)
    assert not dataset.has_masks("gear")
    assert {sample.masks for sample in dataset.samples} == {()}
    assert counts(load_dataset("folder", tmp_path)) == counts(dataset)


def test_folder_takes_any_raster_suffix_and_plain_mask_names(tmp_path: Path) -> None:
    make_category(tmp_path / "gear")
    defects = tmp_path / "gear/test/scratch"
    save(made_image(50), defects / "two.BMP")
    save(mask(), tmp_path / "gear/ground_truth/scratch/two.PNG")
    save(made_image(51), defects / "three.tiff")
    (defects / "notes.txt").write_text("no image")
    (defects / "._two.BMP").write_bytes(b"")
    (tmp_path / "other").mkdir()
    samples = load_dataset("folder", tmp_path).select("gear", "test")
    masks = {Path(s.path).name: [Path(x).name for x in s.masks] for s in samples if s.defect == "scratch"}
    expected = {
        "000.png": ["000_mask.png"],
        "001.png": ["001_mask.png"],
        "two.BMP": ["two.PNG"],
        "three.tiff": [],
    }
    assert masks == expected


def test_a_mask_has_the_displayed_size_of_its_image(products: Path) -> None:
    turned = made_image(60, (SIZE[1], SIZE[0])).getexif()
    turned[0x0112] = 6
    save(made_image(60, (SIZE[1], SIZE[0])), products / "bottle/test/bent/000.png", exif=turned)
    assert load_dataset("folder", products).has_masks("bottle")


def test_wrong_folders(products: Path, tmp_path: Path) -> None:
    fails(
        f"--dataset: unknown data set 'mvtec'; choose one of {', '.join(DATASETS)}$",
        "mvtec",
    )
    for name in ("mvtec_ad", "visa", "folder"):
        fails(f"--data_dir is missing: dataset {name} needs", name)
        fails("--data_dir: .*/nowhere does not exist; give", name, tmp_path / "nowhere")
    fails("synthetic is rendered .*omit the flag", "synthetic", products)
    (tmp_path / "empty").mkdir()
    fails("empty holds neither the categories of MVTec AD", "mvtec_ad", tmp_path / "empty")
    fails("empty holds no category; expected <category>/train/good", "folder", tmp_path / "empty")
    fails("not a folder", "folder", products / "bottle/test/good/000.png")
    fails(
        "--categories: folder has no category 'bottel'; known: bottle, metal_nut",
        *("folder", products, ["metal_nut", "bottel"]),
    )


def test_wrong_categories(products: Path) -> None:
    (products / "gear/test/good").mkdir(parents=True)
    fails("category .*gear holds no images", "folder", products)
    shutil.rmtree(products / "gear")
    for folder in ("train/good", "test/good"):
        shutil.rmtree(products / "bottle" / folder)
    fails("category 'bottle' has no normal images", "folder", products)
    assert load_dataset("folder", products, ["metal_nut"]).categories == ("metal_nut",)
    shutil.rmtree(products / "metal_nut/test")
    shutil.rmtree(products / "metal_nut/ground_truth")
    fails("category 'metal_nut' has no test images", "folder", products, ["metal_nut"])


def test_wrong_masks(products: Path) -> None:
    drawn = products / "bottle/ground_truth/scratch/001_mask.png"
    save(mask(size=(20, 20)), drawn)
    fails(r"001_mask\.png: the mask is 20 x 20, but its image is 12 x 10 .*draw it at", "folder", products)
    assert load_dataset("folder", products, ["metal_nut"]).has_masks("metal_nut")
    drawn.write_bytes(b"nothing")
    fails(r"001_mask\.png: does not decode", "folder", products)
    save(mask(), drawn)
    (products / "bottle/test/scratch/001.png").write_bytes(b"nothing")
    assert len(load_dataset("folder", products).samples) == 20  # the reader of the image reports it
    (products / "bottle/test/scratch/001.png").unlink()
    fails(r"001_mask\.png: the image of this mask is missing", "folder", products)


def test_fingerprint_depends_on_names_but_not_on_the_folder(products: Path, tmp_path: Path) -> None:
    fingerprint = load_dataset("folder", products).fingerprint
    shutil.copytree(products, tmp_path / "elsewhere")
    assert load_dataset("folder", tmp_path / "elsewhere").fingerprint == fingerprint
    assert load_dataset("folder", products, ["bottle"]).fingerprint != fingerprint
    target = tmp_path / "elsewhere/bottle/train/good/000.png"
    target.rename(target.with_name("100.png"))
    assert load_dataset("folder", tmp_path / "elsewhere").fingerprint != fingerprint


def test_fingerprint_depends_on_contents(products: Path) -> None:
    """Two images are swapped, then a mask is replaced."""
    before = load_dataset("folder", products)
    assert before.fingerprint  # digests are of now
    one, other = products / "bottle/test/scratch/000.png", products / "bottle/test/scratch/001.png"
    content = one.read_bytes(), other.read_bytes()
    one.write_bytes(content[1])
    other.write_bytes(content[0])
    images = load_dataset("folder", products)
    assert images.fingerprint != before.fingerprint
    drawn = products / "bottle/ground_truth/bent/000_mask.png"
    save(mask(value=200), drawn)
    masks = load_dataset("folder", products)
    assert len({before.fingerprint, images.fingerprint, masks.fingerprint}) == 3
    kept = [
        dataset.fingerprint_of(dataset.select("metal_nut", "test")) for dataset in (before, images, masks)
    ]
    assert len(set(kept)) == 1


def test_registry_names() -> None:
    assert {name: source.name for name, source in DATASETS.items()} == {name: name for name in DATASETS}
