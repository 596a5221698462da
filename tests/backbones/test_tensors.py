"""Checkpoints as a directory, a file or shards have the same tensors, or raise one clear line."""

import json
import os
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors import SafetensorError

from tests.backbones.torch_files import ordered_dict, tensor, write
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.errors import InputError

TENSORS = {
    "half": np.array([[1, 2.5], [-3, 65504]], np.float16),
    "brain": np.array([1, -2.5, 3e38], ml_dtypes.bfloat16),
    "single": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    "logit_scale": np.asarray(4.6052, np.float32),
    "position_ids": np.arange(77)[None],
    "mask": np.array([True, False]),
    "empty": np.empty((0, 4), np.float32),
}


def assert_equal(read, expected):
    assert set(read) == set(expected)
    for name, value in expected.items():
        assert read[name].dtype == value.dtype
        np.testing.assert_array_equal(read[name], value, strict=True)


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_tensors(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_index(directory, weight_map, name="model.safetensors.index.json"):
    (directory / name).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


def torch_state(directory, name="pytorch_model.bin", value=3.0):
    state = ordered_dict({"weight": tensor("FloatStorage", "0", 1, 0, (1,), (1,))}, {})
    return write(directory / name, state, {"0": np.float32([value])})


def test_what_is_written_is_read(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", TENSORS)
    assert_equal(read_tensors(tmp_path), TENSORS)
    assert_equal(read_tensors(tmp_path / "model.safetensors"), TENSORS)


def test_views_are_written_with_their_values(tmp_path):
    grid = np.arange(24, dtype=np.float32).reshape(4, 6)
    views = {"transposed": grid.T, "every second": grid[::2, 1::2], "big-endian": grid.astype(">f4")}
    write_safetensors(tmp_path / "model.safetensors", views)
    assert_equal(read_tensors(tmp_path), {name: view.astype(np.float32) for name, view in views.items()})


def test_the_header_is_what_transformers_expects(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", TENSORS)
    data = (tmp_path / "a.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert header["__metadata__"] == {"format": "pt"}
    assert header["brain"]["dtype"] == "BF16"
    assert header["logit_scale"]["shape"] == []


def test_writing_leaves_the_new_file_or_the_old_one(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.zeros(3)})
    write_safetensors(path, {"a": np.ones(3)})
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    with pytest.raises(SafetensorError, match="complex256"):
        write_safetensors(path, {"a": np.zeros(3, np.clongdouble)})
    assert sorted(os.listdir(tmp_path)) == ["model.safetensors", "plain"]
    np.testing.assert_array_equal(read_tensors(path)["a"], np.ones(3))


def test_a_directory_is_searched_in_order(tmp_path):
    def found():
        return float(read_tensors(tmp_path)["weight"][0])

    torch_state(tmp_path, "shard.bin", 4)
    write_index(tmp_path, {"weight": "shard.bin"}, "pytorch_model.bin.index.json")
    assert found() == 4
    torch_state(tmp_path, value=3)
    assert found() == 3
    write_safetensors(tmp_path / "shard.safetensors", {"weight": np.float32([2])})
    write_index(tmp_path, {"weight": "shard.safetensors"})
    assert found() == 2
    write_safetensors(tmp_path / "model.safetensors", {"weight": np.float32([1])})
    assert found() == 1


def test_one_directory_may_hold_both_layouts(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", {"weight": np.float32([1])})
    torch_state(tmp_path, "open_clip_pytorch_model.bin", 6)
    assert float(read_tensors(tmp_path, layout="open_clip")["weight"][0]) == 6
    write_safetensors(tmp_path / "open_clip_model.safetensors", {"weight": np.float32([5])})
    assert float(read_tensors(tmp_path, layout="open_clip")["weight"][0]) == 5
    assert float(read_tensors(tmp_path)["weight"][0]) == 1
    assert "unknown weights layout 'openai': use one of transformers, open_clip" in refusal(
        tmp_path, layout="openai"
    )


def test_a_training_checkpoint_holds_its_state_dict(tmp_path):
    state = {"epoch": 3, "state_dict": {"weight": tensor("FloatStorage", "0", 2, 0, (2,), (1,))}}
    path = write(tmp_path / "epoch_3.pt", state, {"0": np.float32([1, 2])})
    assert_equal(read_tensors(path), {"weight": np.float32([1, 2])})


def test_shards_are_joined(tmp_path):
    names = sorted(TENSORS)
    parts = {"a-1.safetensors": names[:3], "a-2.safetensors": names[3:]}
    for shard, part in parts.items():
        write_safetensors(tmp_path / shard, {name: TENSORS[name] for name in part})
    write_index(tmp_path, {name: shard for shard, part in parts.items() for name in part})
    assert_equal(read_tensors(tmp_path), TENSORS)


def test_shards_and_index_agree_both_ways(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"x": np.zeros(1), "y": np.zeros(1)})
    write_safetensors(tmp_path / "b.safetensors", {"z": np.zeros(1)})
    everything = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
    write_index(tmp_path, everything | {"w": "b.safetensors"})
    assert "b.safetensors: lacks 'w' of model.safetensors.index.json" in refusal(tmp_path)
    write_index(tmp_path, {"x": "a.safetensors", "z": "b.safetensors"})
    assert "a.safetensors: holds 'y', not in model.safetensors.index.json" in refusal(tmp_path)
    write_index(tmp_path, everything | {"y": "b.safetensors"})
    assert "a.safetensors: holds 'y'" in refusal(tmp_path)
    write_index(tmp_path, everything | {"w": "c.safetensors"})
    assert "c.safetensors: no such file" in refusal(tmp_path)


@pytest.mark.parametrize(
    "shard", ["../a.safetensors", "/etc/a.safetensors", "sub/a.safetensors", r"..\a.safetensors"]
)
def test_shards_outside_the_directory_are_refused(tmp_path, shard):
    inside = tmp_path / "inside"
    inside.mkdir()
    write_safetensors(tmp_path / "a.safetensors", {"x": np.zeros(1)})
    write_index(inside, {"x": shard})
    assert "lies outside the directory" in refusal(inside)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"x": ["a"]}}'])
def test_an_invalid_index_is_named(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json: is no index of shards" in refusal(tmp_path)


@pytest.mark.parametrize("shard", ["model.bin", "..", "", 3])
def test_a_shard_of_another_kind_is_refused(tmp_path, shard):
    write_index(tmp_path, {"x": shard})
    assert "model.safetensors.index.json: shard" in refusal(tmp_path)


@pytest.mark.parametrize("size", [0, 4, 8, 30, -1])
def test_truncated_safetensors(tmp_path, size):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(tmp_path) == f"{path}: is truncated or damaged: download it again"


def test_a_damaged_header(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, TENSORS)
    path.write_bytes(path.read_bytes().replace(b'"half"', b'"half:'))
    assert refusal(tmp_path) == f"{path}: is truncated or damaged: download it again"


def test_a_number_type_that_numpy_lacks(tmp_path):
    header = json.dumps({"x": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(2))
    assert refusal(path) == f"{path}: holds a number type that numpy lacks: convert it to float32"


def test_nothing_to_read(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: has no weights: put one of model.safetensors, ")
    assert "no such file" in refusal(tmp_path / "absent")
    (tmp_path / "weights.h5").touch()
    assert "unknown kind of file: use .safetensors, .bin, .pth, .pt" in refusal(tmp_path / "weights.h5")


def test_a_torch_file_without_named_tensors(tmp_path):
    path = write(tmp_path / "a.bin", [tensor("FloatStorage", "0", 1, 0, (1,), (1,))], {"0": bytes(4)})
    assert refusal(path) == f"{path}: has no named tensors: save a state_dict()"
    path = write(tmp_path / "a.bin", {"epoch": 3}, {})
    assert refusal(path) == f"{path}: entry 'epoch' is no named tensor: save a state_dict()"
