"""Files are written whole or not at all."""

import json
import os

import pytest

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_atomically, write_json


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_replace_an_old_file(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names_in(path.parent) == ["file"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing, failure):
    path = tmp_path / "metrics.json"
    write_atomically(path, "old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises((KeyboardInterrupt, InputError)) as caught:
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["metrics.json"]
    if isinstance(failure, OSError):
        assert (
            str(caught.value) == f"{path}: cannot be written (No space left on device); choose another folder"
        )


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"out: cannot be written \(Is a directory\)"):
        write_atomically(tmp_path / "out", "text")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"metrics.json: cannot be written"):
        write_atomically(tmp_path / "file" / "metrics.json", "text")


def test_json_keeps_the_order_of_keys_and_ends_the_line(tmp_path):
    value = {"b": 1, "a": {"z": None, "y": [0.1, "é"]}}
    write_json(tmp_path / "m.json", value)
    text = (tmp_path / "m.json").read_text("utf-8")
    expected = '{\n  "b": 1,\n  "a": {\n    "z": null,\n    "y": [\n      0.1,\n      "é"\n    ]\n  }\n}\n'
    assert text == expected
    assert json.loads(text) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_nan_and_infinity(tmp_path, value):
    with pytest.raises(InputError, match=r"m.json: holds NaN or an infinity"):
        write_json(tmp_path / "m.json", {"mean": [value]})
    assert names_in(tmp_path) == []
