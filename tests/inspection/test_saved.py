"""A saved detector gives the same results when it is loaded, or is refused with one line."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import save
from tests.golden import golden_clip
from tests.inspection.conftest import part
from vlmad_jax import InputError, load_detector
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.inspection import FitConfig, fit
from vlmad_jax.inspection import saved as saved_module
from vlmad_jax.inspection.manifest import verify, write_saved
from vlmad_jax.inspection.page.refit import config_of
from vlmad_jax.inspection.saved import describe_weights, flatten, restored, unflatten
from vlmad_jax.methods import METHODS, MethodOptions
from vlmad_jax.methods.winclip import Memory, State
from vlmad_jax.runtime.contents import digest


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy.vlmad"))


def test_what_is_saved(saved: Path, good: Path, weights: Path):
    held = json.loads((saved / "detector.json").read_text())
    assert (held["method"], held["object"], held["setting"]["image_size"]) == ("padim", "plate", 64)
    assert held["weights"]["name"] == str(weights)
    assert held["references"] == [str(good / f"{k}.png") for k in range(4)]
    assert held["reference_digests"] == [digest(good / f"{k}.png") for k in range(4)]
    assert {"python", "jax", "numpy", "vlmad-jax"} <= held["versions"].keys()
    assert (held["threshold"]["rule"], held["threshold"]["images"], held["threshold"]["folds"]) == (
        "normal tail",
        4,
        4,
    )
    assert sorted(read_tensors(saved / "arrays.safetensors")) == ["state/mean", "state/whitening"]
    rows = (saved / "good_scores.csv").read_text().splitlines()
    assert rows[0] == "path,frame,version,score,peak"
    assert len(rows) == 1 + 4 * 3
    with Image.open(saved / "references/0003.jpg") as thumbnail:
        assert thumbnail.size == (160, 114)
    largest = max(float(row.split(",")[3]) for row in rows[1:] if row.split(",")[2] == "0")
    assert held["decision"]["threshold"] > largest


def test_a_detector_of_other_numbers_is_told(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    load_detector(saved)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(saved_module, "CACHE_VERSION", 0)
    load_detector(saved)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{saved}: was fitted by a version that computes other scores; fit again")


def with_old_names(described: dict) -> dict:
    """Return a `detector.json` as earlier versions wrote it."""
    old = {"multi_scale_sizes": "view_sizes", "images": "pictures"}
    for entry in ("setting", "options", "threshold"):
        described[entry] = {old.get(name, name): x for name, x in described[entry].items()}
    described["threshold"]["rule"] = described["threshold"]["rule"].replace("image", "picture")
    return described


def test_names_of_earlier_versions_are_read(good: Path, weights: Path, tmp_path: Path):
    options = MethodOptions(window_sizes=(2,), multi_scale_sizes=(32,))
    one = save(part(0), tmp_path / "one/0.png")
    config = FitConfig("winclip", "plate", str(one.parent), str(weights), options=options, augmentations=2)
    fit(config, tmp_path / "new.vlmad")
    new = tmp_path / "new.vlmad"
    files = {file.relative_to(new).as_posix(): file.read_bytes() for file in new.rglob("*") if file.is_file()}
    del files["manifest.json"]
    files["detector.json"] = json.dumps(with_old_names(json.loads(files["detector.json"]))).encode()
    assert b"view_sizes" in files["detector.json"]
    assert b"one picture" in files["detector.json"]
    write_saved(tmp_path / "old.vlmad", files)
    before, after = load_detector(new), load_detector(tmp_path / "old.vlmad")
    assert after.description == before.description
    assert after.description["threshold"]["images"] == 1
    assert config_of(after) == config_of(before) == dataclasses.replace(config, references=None)
    assert after(part(9)).image == before(part(9)).image


def test_what_computed_it_is_beside_it_and_not_part_of_it(copy: Path):
    checksum = verify(copy)
    environment = json.loads((copy / "environment.json").read_text())
    assert environment["versions"]["jax"] == jax.__version__
    (copy / "environment.json").write_text("{}")
    assert verify(copy) == checksum


def test_it_says_the_same_in_another_folder_with_moved_weights(
    saved: Path, copy: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    image = part(9, spot=True)
    before = load_detector(saved)(image)
    moved = shutil.copytree(weights, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    after = load_detector("copy.vlmad", weights="moved")(image)
    assert before.image == after.image
    assert np.array_equal(before.map, after.map)
    assert before.bad
    assert moved.is_dir()


def test_two_fits_are_equal(config: FitConfig, saved: Path, tmp_path: Path):
    fit(config, tmp_path / "again.vlmad")
    again, first = (load_detector(path) for path in (tmp_path / "again.vlmad", saved))
    assert again.decision == first.decision
    assert again.checksum == first.checksum


def cut(path: Path) -> str:
    file = path / "arrays.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return "arrays.safetensors: holds "


def altered(path: Path) -> str:
    file = path / "arrays.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    return "arrays.safetensors: was altered (its checksum differs)"


def another_threshold(path: Path) -> str:
    file = path / "detector.json"
    threshold = str(json.loads(file.read_text())["decision"]["threshold"])
    file.write_text(file.read_text().replace(threshold, "9" * len(threshold)))
    return "detector.json: was altered (its checksum differs)"


def lost(path: Path) -> str:
    (path / "references/0001.jpg").unlink()
    return "references/0001.jpg: is missing"


def manifest(change: Callable[[dict], None]) -> Callable[[Path], str]:
    def spoil(path: Path) -> str:
        held = json.loads((path / "manifest.json").read_text())
        change(held)
        (path / "manifest.json").write_text(json.dumps(held))
        return "manifest.json: was altered" if "sha256" in held else "manifest.json: is damaged"

    return spoil


def truncated(path: Path) -> str:
    (path / "manifest.json").write_text((path / "manifest.json").read_text()[:50])
    return "manifest.json: is damaged"


def another_format(path: Path) -> str:
    manifest(lambda held: held.update(format=99))(path)
    return "has format 99, not 1; fit again"


SPOILED = {
    "cut short": cut,
    "altered": altered,
    "another threshold": another_threshold,
    "a file lost": lost,
    "manifest truncated": truncated,
    "another format": another_format,
    "a file left out of the list": manifest(lambda held: held["files"].popitem()),
    "a file outside": manifest(lambda held: held["files"].update({"../x": {"bytes": 0, "sha256": ""}})),
    "no checksum": manifest(lambda held: held.pop("sha256")),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_one_is_refused(copy: Path, case: str):
    expected = SPOILED[case](copy)
    with pytest.raises(InputError) as told:
        load_detector(copy)
    assert expected in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_other_weights_are_refused(saved: Path, weights: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"was fitted with the weights .*; give .*--weights="):
        load_detector(saved, weights="weights/tiny")
    with pytest.raises(InputError, match="no/where/at/all: no such directory"):
        load_detector(saved, weights="no/where/at/all")
    with pytest.raises(InputError, match=r"none.vlmad: no such detector; make one with experiments\.fit"):
        load_detector(tmp_path / "none.vlmad")
    with pytest.raises(InputError, match="is not a saved detector"):
        load_detector(weights)


def test_weights_that_are_gone_are_named(config: FitConfig, weights: Path, tmp_path: Path):
    here = shutil.copytree(weights, tmp_path / "here")
    fit(dataclasses.replace(config, weights=str(here)), tmp_path / "moved.vlmad")
    here.rename(tmp_path / "there")
    with pytest.raises(InputError, match=r"its weights cannot be loaded .*--weights="):
        load_detector(tmp_path / "moved.vlmad")
    assert load_detector(tmp_path / "moved.vlmad", tmp_path / "there").object_name == "plate"


def test_bundled_weights_have_a_name_that_is_good_anywhere():
    clip = dataclasses.replace(golden_clip("winclip"), name="weights/tiny")
    assert describe_weights(clip)["name"] == "weights/tiny"


def test_nothing_but_a_detector_is_replaced(tmp_path: Path):
    out = tmp_path / "x.vlmad"
    checksum = write_saved(out, {"a.json": b"1", "sub/b.bin": b"2"})
    assert verify(out) == checksum
    with pytest.raises(InputError, match="exists already; give another name, or --overwrite"):
        write_saved(out, {"a.json": b"3"})
    assert write_saved(out, {"a.json": b"3"}, overwrite=True) == verify(out) != checksum
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "manifest.json"]
    (tmp_path / "kept").mkdir()
    (tmp_path / "file").write_text("kept")
    for other in ("kept", "file"):
        with pytest.raises(InputError, match=f"{other}: exists and is not a saved detector"):
            write_saved(tmp_path / other, {"a": b""}, overwrite=True)
    with pytest.raises(InputError, match="cannot be written"):
        write_saved(tmp_path / "file/x.vlmad", {"a": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "kept", "x.vlmad"]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "x.vlmad"
    checksum = write_saved(out, {"a.json": b"1"})
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if target == out and self.suffix == ".tmp":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(InputError, match="cannot be written \\(No space left on device\\)"):
        write_saved(out, {"a.json": b"2"}, overwrite=True)
    assert verify(out) == checksum
    assert [path.name for path in tmp_path.iterdir()] == ["x.vlmad"]


def test_trees_of_any_shape():
    tree = {"a": (np.arange(3), [np.float32(2), None]), "b": {"c": {}, "d": np.ones((2, 0), bool)}}
    description, arrays = flatten(tree, "state")  # WinCLIP's has tuples, the autoencoder's dicts in dicts
    assert sorted(arrays) == ["state/a/0", "state/a/1/0", "state/b/d"]
    back = unflatten(json.loads(json.dumps(description)), arrays)
    assert isinstance(back["a"], tuple)
    assert isinstance(back["a"][1], list)
    assert back["a"][1][1] is None
    assert back["b"]["c"] == {}
    assert np.array_equal(back["a"][0], np.arange(3))
    assert unflatten(*flatten(np.ones(2), "state")).tolist() == [1, 1]
    for other in ({1: np.ones(1)}, {"a/b": np.ones(1)}, {"a": object()}):
        with pytest.raises(TypeError):
            flatten(other, "state")


@pytest.mark.parametrize("memory", [None, Memory(np.ones((3, 2)), (np.ones((2, 2)), np.zeros((4, 2))))])
def test_a_named_tuple_is_saved_as_a_dict_without_what_is_none(memory: Memory | None):
    """States were saved in the same way when they were dicts."""
    text = np.arange(4.0).reshape(2, 2)
    old = {"text": text} | ({} if memory is None else {"memory": memory._asdict()})
    description, arrays = flatten(State(text, memory), "state")
    assert (description, list(arrays)) == (flatten(old, "state")[0], list(flatten(old, "state")[1]))
    back = restored(State, unflatten(description, arrays))
    assert jax.tree.structure(back) == jax.tree.structure(State(text, memory))
    for one, other in zip(jax.tree.leaves(back), jax.tree.leaves(State(text, memory)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert restored(None, old) is old


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_made_again_from_its_setting(name: str):
    clip = golden_clip("winclip")
    setting = json.loads(json.dumps(METHODS[name].for_backbone(clip).setting))
    detector = METHODS[name].with_setting(clip, setting)
    assert detector.setting == setting
    assert min(detector.score_bounds(references=True)) >= min(detector.score_bounds(references=False)) >= 1
    with pytest.raises(InputError, match=r"has no setting|is incomplete"):
        METHODS[name].with_setting(clip, {k: x for k, x in setting.items() if k != "image_size"})
