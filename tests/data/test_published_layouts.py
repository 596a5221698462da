"""Every published layout is read: counts, labels, masks to the pixel, names for prompts, and the order."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import made_image, mask, save
from tests.data.stand_ins import STAND_INS, corner
from tests.data.test_datasets import fails
from vlmad_jax.data import DATASETS, DataSet, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.data.counts import COUNTS, Count, count_of
from vlmad_jax.data.masks import read_masks
from vlmad_jax.data.signs import SIGNS

DEFECT = np.asarray(mask()) > 0
# The test images of the first category in their order, below the root, with their defects.
ORDER = {
    "mpdd": [
        ("connector/test/good/000.png", "good"),
        ("connector/test/parts_mismatch/000.png", "parts_mismatch"),
        ("connector/test/parts_mismatch/001.png", "parts_mismatch"),
    ],
    "mvtec_ad_2": [
        ("vial/test_public/bad/000_regular.png", "bad"),
        ("vial/test_public/good/000_regular.png", "good"),
        ("vial/test_public/good/000_shift_1.png", "good"),
    ],
    "mvtec_loco": [
        ("pushpins/test/good/000.png", "good"),
        ("pushpins/test/good/001.png", "good"),
        ("pushpins/test/logical_anomalies/000.png", "logical_anomalies"),
        ("pushpins/test/structural_anomalies/000.png", "structural_anomalies"),
    ],
    "real_iad": [
        *((f"realiad_1024/usb/NG/HS/S0003/usb_0001_NG_C{view}_2023.jpg", "good") for view in (3, 4, 5)),
        *((f"realiad_1024/usb/OK/S0002/usb_0001_OK_C{view}_2023.jpg", "good") for view in range(1, 6)),
        *((f"realiad_1024/usb/NG/HS/S0003/usb_0001_NG_C{view}_2023.jpg", "HS") for view in (1, 2)),
    ],
    "btad": [("01/test/ok/0000.bmp", "good"), ("01/test/ko/0000.bmp", "ko"), ("01/test/ko/0001.bmp", "ko")],
    "dagm": [
        ("Class1/Test/0001.PNG", "good"),
        ("Class1/Test/0003.PNG", "good"),
        ("Class1/Test/0002.PNG", "defect"),
    ],
    "dtd_synthetic": [("Mesh_114/test/bad/000.png", "bad"), ("Mesh_114/test/good/000.png", "good")],
    "ksdd": [
        ("kos02/Part0.jpg", "good"),
        ("kos02/Part2.jpg", "good"),
        ("kos01/Part1.jpg", "defect"),
        ("kos02/Part1.jpg", "defect"),
        ("kos11/Part1.jpg", "defect"),
    ],
    "ksdd2": [("test/20000.png", "good"), ("test/20002.png", "good"), ("test/20001.png", "defect")],
    "magnetic_tile": [
        ("MT_Free/Imgs/exp0_num_0.jpg", "good"),
        ("MT_Free/Imgs/exp1_num_0.jpg", "good"),
        *(
            (f"MT_{kind}/Imgs/exp0_num_{n}.jpg", kind.lower())
            for n, kind in enumerate(("Blowhole", "Break", "Crack", "Fray", "Uneven"), start=1)
        ),
    ],
    "headct": [
        ("normal/1 no.jpeg", "good"),
        ("normal/2.JPG", "good"),
        *((f"abnormal/{name}", "hemorrhage") for name in ("Y1.jpg", "Y2.png", "Y3.jpg")),
    ],
    "brainmri": [
        ("no/1 no.jpeg", "good"),
        ("no/2.JPG", "good"),
        *((f"yes/{name}", "tumor") for name in ("Y1.jpg", "Y2.png", "Y3.jpg")),
    ],
    "isic": [(f"ISBI2016_ISIC_Part1_Test_Data/{name}.jpg", "lesion") for name in ("a1", "a2")],
    "cvc_clinicdb": [("Original/a1.jpg", "polyp"), ("Original/a2.jpg", "polyp")],
    "tn3k": [("test-image/a1.jpg", "nodule"), ("test-image/a2.jpg", "nodule")],
    "meta_json": [("cup/1.png", "good"), ("cup/2.png", "dent")],
}
ORDER["br35h"] = ORDER["brainmri"]
for _name in ("cvc_colondb", "kvasir", "endo"):
    ORDER[_name] = [("images/a1.jpg", "polyp"), ("images/a2.jpg", "polyp")]
# The names of the first and of the last category in prompts.
OBJECTS = {
    "mpdd": ("connector", "metal tubes"),
    "mvtec_ad_2": ("vial", "vial"),
    "mvtec_loco": ("pushpins", "pushpins"),
    "real_iad": ("USB connector", "USB connector"),
    "btad": ("industrial product", "industrial product"),
    "dagm": ("textured surface", "textured surface"),
    "dtd_synthetic": ("mesh texture", "woven texture"),
    "ksdd": ("electrical commutator", "electrical commutator"),
    "ksdd2": ("metal surface", "metal surface"),
    "magnetic_tile": ("magnetic tile", "magnetic tile"),
    **dict.fromkeys(("headct", "brainmri", "br35h"), ("brain", "brain")),
    "isic": ("skin lesion", "skin lesion"),
    **dict.fromkeys(("cvc_colondb", "cvc_clinicdb", "kvasir", "endo"), ("colon", "colon")),
    "tn3k": ("thyroid", "thyroid"),
    "meta_json": ("cup", "lid"),
}
WITHOUT_MASKS = {"headct", "brainmri", "br35h"}


def made(name: str, folder: Path) -> DataSet:
    STAND_INS[name](folder / name)
    return load_dataset(name, folder / name)


@pytest.mark.parametrize("name", STAND_INS)
def test_a_layout(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = STAND_INS[name](tmp_path / name)
    dataset = load_dataset(name, tmp_path / name)
    assert dataset.categories == tuple(sorted(counts))
    for category, expected in counts.items():
        train = [sample for sample in dataset.select(category, "train") if not sample.label]
        test = dataset.select(category, "test")
        assert (len(train), *count_of(test)[1:]) == expected
    first = dataset.select(dataset.categories[0], "test")
    assert [(dataset.relative(sample.path), sample.defect) for sample in first] == ORDER[name]
    assert (dataset.object_name(dataset.categories[0]), dataset.object_name(dataset.categories[-1])) == (
        OBJECTS[name]
    )
    for sample in dataset.samples:
        assert bool(sample.masks) >= bool(sample.label and name not in WITHOUT_MASKS)
        if sample.label and sample.masks:
            expected_mask = DEFECT
            if sample.defect == "logical_anomalies":
                expected_mask = DEFECT | (np.asarray(corner()) > 0)
            np.testing.assert_array_equal(read_masks(sample.masks) > 0, expected_mask, err_msg=sample.path)
    assert all(dataset.has_masks(category) == (name not in WITHOUT_MASKS) for category in counts)
    print_notices(dataset)
    assert ("differs from the published" in capsys.readouterr().err) == (name in COUNTS)
    source = DATASETS[name]
    assert source.homepage.startswith("http")
    assert source.citation or name == "meta_json"


def test_every_data_set_with_a_sign_has_a_stand_in_and_counts() -> None:
    assert {*STAND_INS, "mvtec_ad", "visa"} == {*SIGNS, "meta_json"}
    assert set(COUNTS) == set(SIGNS)
    assert sum(count.train or 0 for count in COUNTS["mvtec_ad"].values()) == 3629
    totals = {"mpdd": 1346, "btad": 2540, "visa": 10_821, "dagm": 16_100, "ksdd2": 3335, "mvtec_ad_2": 3612}
    for name, total in totals.items():
        assert sum(sum(numbers) for numbers in COUNTS[name].values()) == total  # type: ignore[arg-type]


def test_a_folder_that_differs_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made("mpdd", tmp_path)
    print_notices(dataset)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"{tmp_path}/mpdd differs from the published mpdd: connector has 2 training images, not 128; "
        "connector has 1 normal test images, not 30; connector has 2 anomalous test images, not 14; "
        "and 4 more"
    )
    right = {"connector": Count(2, 1, 2), "tubes": Count(None, 1, 2), "bracket_black": Count(1, 1, 1)}
    monkeypatch.setitem(COUNTS, "mpdd", right)
    print_notices(dataset)
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/mpdd differs from the published mpdd: missing: bracket_black"
    ]
    print_notices(load_dataset("mpdd", tmp_path / "mpdd", ["tubes"]))
    assert capsys.readouterr().err == ""


def test_private_images_of_mvtec_ad_2(tmp_path: Path) -> None:
    private = made("mvtec_ad_2", tmp_path).private
    assert [(Path(sample.path).name, sample.category, sample.split) for sample in private] == [
        ("000_regular.png", "vial", "test_private"),
        ("001_regular.png", "vial", "test_private"),
        ("000_mixed.png", "vial", "test_private_mixed"),
    ]


def test_the_labels_of_headct_as_published(tmp_path: Path) -> None:
    for number in range(3):
        save(made_image(number), tmp_path / f"head_ct/{number:03}.png")
    (tmp_path / "labels.csv").write_text("id, hemorrhage\n0,1\n1,0\n2,1\n")
    samples = load_dataset("headct", tmp_path).samples
    assert [(Path(s.path).name, s.label) for s in samples] == [("001.png", 0), ("000.png", 1), ("002.png", 1)]


def test_masks_saved_as_jpeg_lose_no_pixel(tmp_path: Path) -> None:
    """TN3K and Kvasir-SEG publish their masks as JPEG files."""
    STAND_INS["tn3k"](tmp_path)
    drawn = np.zeros((32, 40), np.uint8)
    drawn[8:24, 8:32] = 255
    for name in ("a1", "a2"):
        save(made_image(1, (40, 32)), tmp_path / f"test-image/{name}.jpg")
        (tmp_path / f"test-mask/{name}.bmp").unlink()
        save(Image.fromarray(drawn), tmp_path / f"test-mask/{name}.jpg", quality=90)
    for sample in load_dataset("tn3k", tmp_path).samples:
        np.testing.assert_array_equal(read_masks(sample.masks), drawn > 0)


LOOKS_LIKE = {
    (
        "mpdd",
        "visa",
    ): "holds neither VisA's split_csv/1cls.csv nor VisA_20220922.tar; this looks like MPDD: give ",
    ("mvtec_loco", "mvtec_ad"): "this looks like MVTec LOCO: give --dataset=mvtec_loco",
    ("btad", "mvtec_ad"): "this looks like BTAD: give --dataset=btad",
    (
        "dagm",
        "ksdd2",
    ): "holds neither KolektorSDD2's train/ and test/ nor KolektorSDD2.zip; this looks like DAGM",
    (
        "ksdd",
        "magnetic_tile",
    ): "does not hold the folders MT_Free/, MT_Blowhole/, ...; this looks like KolektorSDD",
    ("tn3k", "isic"): "this looks like TN3K: give --dataset=tn3k",
    ("mvtec_ad_2", "mvtec_loco"): "this looks like MVTec AD 2",
}


@pytest.mark.parametrize(("held", "asked"), LOOKS_LIKE)
def test_a_folder_of_another_data_set_is_named(held: str, asked: str, tmp_path: Path) -> None:
    STAND_INS[held](tmp_path / "data")
    fails(LOOKS_LIKE[held, asked], asked, tmp_path / "data")


def test_what_a_half_extracted_archive_lacks(tmp_path: Path) -> None:
    def lacks(name: str, missing: str, message: str) -> None:
        folder = tmp_path / name
        STAND_INS[name](folder)
        (shutil.rmtree if (folder / missing).is_dir() else Path.unlink)(folder / missing)
        fails(message, name, folder)

    lacks("dagm", "Class10/Test", "Class10/Test is missing; extract Class10 of DAGM 2007 again")
    lacks("ksdd", "kos11/Part1_label.bmp", r"kos11/Part1\.jpg: its mask \(_label\) is missing; extract")
    lacks("ksdd2", "test/20001.png", r"test/20001_GT\.png: its image is missing; extract")
    lacks("magnetic_tile", "MT_Fray", "MT_Fray/Imgs is missing; download the folder again")
    lacks(
        "isic", "ISBI2016_ISIC_Part1_Test_GroundTruth/a2_Segmentation.png", r"a2\.jpg: its mask is missing in"
    )
    lacks(
        "real_iad",
        "realiad_1024/usb/NG/HS/S0003",
        r"S0003/.* is missing, but .*usb\.json names it; extract usb",
    )
    lacks("mpdd", "tubes/test", "category 'tubes' has no test images")
    lacks("meta_json", "cup/1.png", r"cup/1\.png is missing, but .*meta\.json names it")


def test_archives_of_single_categories_are_to_be_extracted(tmp_path: Path) -> None:
    (tmp_path / "can.tar.gz").touch()
    begin = r"holds neither .* nor mvtec_ad_2\.tar\.gz; it holds can\.tar\.gz: extract"
    fails(f"{begin} this archive$", "mvtec_ad_2", tmp_path)
    (tmp_path / "vial.tar.gz").touch()
    (tmp_path / ".vial.zip").touch()
    fails(f"{begin} its archives$", "mvtec_ad_2", tmp_path)


def test_tables_that_are_none(tmp_path: Path) -> None:
    for name, table in (("real_iad", "realiad_jsons/usb.json"), ("meta_json", "meta.json")):
        STAND_INS[name](tmp_path / name)
        for text in ("{", '{"train": 1, "test": 2}', '{"test": {"cup": [{"anomaly": 1}]}}'):
            (tmp_path / name / table).write_text(text)
            fails("is not a table of", name, tmp_path / name)
    (tmp_path / "meta_json/meta.json").write_text(json.dumps({"train": {}}))
    fails("lists no images", "meta_json", tmp_path / "meta_json")


def test_zip_archives_are_extracted_once(tmp_path: Path) -> None:
    STAND_INS["isic"](tmp_path / "isic")
    expected = load_dataset("isic", tmp_path / "isic")
    held = tmp_path / "held"
    held.mkdir()
    for folder in (tmp_path / "isic").iterdir():
        shutil.make_archive(str(held / folder.name), "zip", tmp_path / "isic", folder.name)
    found = load_dataset("isic", held)
    assert [s.defect for s in found.samples] == [s.defect for s in expected.samples]
    assert [Path(s.masks[0]).name for s in found.samples] == ["a1_Segmentation.png", "a2_Segmentation.png"]
    hostile = tmp_path / "KolektorSDD.zip"
    with zipfile.ZipFile(hostile, "w") as file:
        file.writestr("../outside.png", b"x")
    fails(r"KolektorSDD\.zip: cannot be extracted .*outside the folder", "ksdd", hostile)
    assert not (tmp_path / "outside.png").exists()


def test_one_folder_for_all_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    STAND_INS["mpdd"](tmp_path / "mpdd")
    STAND_INS["btad"](tmp_path / "elsewhere")
    fails("--data_dir is missing: dataset mpdd needs", "mpdd")
    monkeypatch.setenv("VLMAD_JAX_DATA", str(tmp_path))
    assert load_dataset("mpdd").root == f"{tmp_path}/mpdd"
    assert load_dataset("btad", tmp_path / "elsewhere").categories == ("01", "02")
    fails(f"--data_dir: {tmp_path}/visa does not exist; give the extracted VisA folder", "visa")
    assert load_dataset("elpv").categories == ("mono", "poly")


def test_an_unknown_category_lists_the_known_ones(tmp_path: Path) -> None:
    STAND_INS["dagm"](tmp_path / "dagm")
    fails(
        "--categories: dagm has no category 'Class11'; known: Class1, Class10",
        *("dagm", tmp_path / "dagm", ["Class11"]),
    )
