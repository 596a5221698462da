"""References depend only on the seed and the category, and a manifest restores them."""

import json
import shutil
from pathlib import Path

import pytest

from vlmad_jax.data import load_dataset
from vlmad_jax.data.references import draw_references, read_manifest, write_manifest
from vlmad_jax.errors import InputError


def names(samples: tuple) -> list[str]:
    return [Path(sample.path).name for sample in samples]


def test_drawn_without_replacement_from_the_normal_training_images(products: Path) -> None:
    dataset = load_dataset("folder", products)
    for seed in range(20):
        drawn = draw_references(dataset, "bottle", 5, seed)
        assert sorted(names(drawn)) == [f"{number:03}.png" for number in range(5)]
        assert {(s.category, s.split, s.label) for s in drawn} == {("bottle", "train", 0)}
    first = {names(draw_references(dataset, "bottle", 1, seed))[0] for seed in range(40)}
    assert len(first) == 5
    orders = [[names(draw_references(dataset, c, 5, seed)) for seed in range(9)] for c in dataset.categories]
    assert orders[0] != orders[1]


def test_stable_under_other_categories_machines_and_more_shots(products: Path, tmp_path: Path) -> None:
    dataset = load_dataset("folder", products)
    drawn = draw_references(dataset, "metal_nut", 4, 3)
    assert names(drawn) == ["004.png", "002.png", "003.png", "001.png"]
    assert draw_references(load_dataset("folder", products, ["metal_nut"]), "metal_nut", 4, 3) == drawn
    assert draw_references(dataset, "metal_nut", 2, 3) == drawn[:2]
    shutil.copytree(products, tmp_path / "elsewhere")
    elsewhere = load_dataset("folder", tmp_path / "elsewhere")
    assert names(draw_references(elsewhere, "metal_nut", 4, 3)) == names(drawn)


def test_more_shots_than_images(products: Path) -> None:
    dataset = load_dataset("folder", products)
    for shots in (0, 6):
        message = f"--shots={shots}: category 'bottle' has 5 normal training images; give 1 to 5"
        with pytest.raises(InputError, match=message):
            draw_references(dataset, "bottle", shots, 0)
    with pytest.raises(InputError, match="--seed=-1: give 0 or more"):
        draw_references(dataset, "bottle", 1, -1)
    shutil.rmtree(products / "bottle/train")
    with pytest.raises(InputError, match="has 0 normal training images; add some to its train/good"):
        draw_references(load_dataset("folder", products), "bottle", 1, 0)


def test_manifest_round_trip(products: Path, tmp_path: Path) -> None:
    dataset = load_dataset("folder", products)
    drawn = {category: draw_references(dataset, category, 3, 1) for category in dataset.categories}
    write_manifest(tmp_path / "references.json", drawn)
    assert read_manifest(tmp_path / "references.json", dataset) == drawn
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["references.json"]
    one = load_dataset("folder", products, ["bottle"])
    assert read_manifest(tmp_path / "references.json", one) == {"bottle": drawn["bottle"]}
    by_hand = tmp_path / "by_hand.json"
    by_hand.write_text('{"bottle": ["003.png", "good/001.png"]}')
    assert names(read_manifest(by_hand, one)["bottle"]) == ["003.png", "001.png"]
    (tmp_path / "moved").mkdir()
    products.rename(tmp_path / "moved/products")
    moved = read_manifest(tmp_path / "references.json", load_dataset("folder", tmp_path / "moved/products"))
    assert {category: names(samples) for category, samples in moved.items()} == {
        category: names(samples) for category, samples in drawn.items()
    }


def test_wrong_manifests(products: Path, tmp_path: Path) -> None:
    dataset = load_dataset("folder", products, ["bottle"])
    path = tmp_path / "references.json"
    with pytest.raises(InputError, match=r"references\.json: cannot be read \(No such file"):
        read_manifest(path, dataset)
    for content, message in {
        "{": r"is not JSON \(.*give the manifest",
        "[1]": "is not a manifest; expected",
        json.dumps({"bottle": [3]}): "is not a manifest; expected",
        json.dumps({"gear": ["000.png"]}): "lists no images of category 'bottle'",
        json.dumps({"bottle": []}): "lists no images of category 'bottle'",
        json.dumps({"bottle": ["000.png", "000.png"]}): "lists an image of category 'bottle' twice",
        json.dumps(
            {"bottle": ["test/scratch/000.png"]}
        ): "test/scratch/000.png is not a normal training image of category",
    }.items():
        path.write_text(content)
        with pytest.raises(InputError, match=rf"references\.json: {message}") as raised:
            read_manifest(path, dataset)
        assert "\n" not in str(raised.value)
