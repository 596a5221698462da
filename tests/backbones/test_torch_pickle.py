"""The reader of `torch.save` files: equal numbers for valid files, and errors for malicious ones."""

import copyreg
import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.backbones.torch_files import (
    Raw,
    build,
    call,
    encode,
    named,
    ordered_dict,
    storage,
    tensor,
    write,
    write_old,
)
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden" / "anomalyclip"
SIX = np.arange(6, dtype=np.float32)
DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_torch_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_reads_the_prompts_that_torch_saved():
    prompts = read_torch_file(GOLDEN / "prompts.pth")["prompt_learner"]
    with np.load(GOLDEN / "prompts.npz") as reference:
        assert len(reference.files) == 5
        for name in reference.files:
            np.testing.assert_array_equal(prompts[name.replace("text_", "text.")], reference[name])
    assert len(prompts) == 17
    assert prompts["tokenized_prompts_pos"].dtype == np.int32


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_number_type_in_both_byte_orders(tmp_path, kind, order):
    numbers = np.array([0, 1, 3, 100], np.float32).astype(DTYPES[kind])
    stored = numbers if order == "little" else numbers.view(f"u{numbers.itemsize}").byteswap()
    value = tensor(kind, "0", 4, 0, (4,), (1,))
    read = read_torch_file(write(tmp_path / "a.pt", value, {"0": stored}, byteorder=order.encode()))
    assert read.dtype == numbers.dtype
    np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (2, 3), (3, 1), [[0, 1, 2], [3, 4, 5]]),
        (0, (3, 2), (1, 3), [[0, 3], [1, 4], [2, 5]]),
        (1, (2,), (4,), [1, 5]),
        (4, (), (), 4),
        (2, (2, 2), (0, 1), [[2, 3], [2, 3]]),
        (9, (0, 3), (3, 1), np.empty((0, 3))),
    ],
    ids=["contiguous", "transposed", "offset", "scalar", "repeated", "empty"],
)
def test_views(tmp_path, offset, shape, strides, expected):
    value = tensor("FloatStorage", "0", 6, offset, shape, strides)
    np.testing.assert_array_equal(read_torch_file(write(tmp_path / "a.pt", value, {"0": SIX})), expected)


def test_shared_storage_is_read_once(tmp_path):
    value = [tensor("FloatStorage", "0", 6, offset, (3,), (1,)) for offset in (0, 2)]
    first, second = read_torch_file(write(tmp_path / "a.pt", value, {"0": SIX}))
    np.testing.assert_array_equal(second, [2, 3, 4])
    assert np.shares_memory(first, second)


def test_a_storage_without_elements(tmp_path):
    value = tensor("FloatStorage", "0", 0, 0, (0,), (1,))
    assert read_torch_file(write(tmp_path / "a.pt", value, {"0": b""})).shape == (0,)


def test_containers_parameters_and_state_dicts(tmp_path):
    view = tensor("FloatStorage", "0", 6, 0, (6,), (1,))
    parameter = call("torch._utils._rebuild_parameter", view, True, call("collections.OrderedDict"))
    state = ordered_dict({"weight": parameter}, {"": {"version": 1}})
    size = call("torch.Size", (2, 3))
    value = {"state_dict": state, "epoch": 3, "none": None, "list": [True, "x"], "size": size}
    value["names"] = call("__builtin__.set", ["a", "b"])
    read = read_torch_file(write(tmp_path / "a.pt", value, {"0": SIX}))
    np.testing.assert_array_equal(read["state_dict"].pop("weight"), SIX)
    assert type(read["state_dict"]) is dict
    assert read == {
        "state_dict": {},
        "epoch": 3,
        "none": None,
        "list": [True, "x"],
        "size": (2, 3),
        "names": {"a", "b"},
    }


ARGUMENTS = encode(("touch executed",))
STRINGS = encode("os") + encode("system")
HOSTILE = {
    "REDUCE": call("os.system", "touch executed"),
    "below an allowed call": call("collections.OrderedDict", [(1, call("posix.system", "touch executed"))]),
    "below BUILD": build(call("collections.OrderedDict"), {"_metadata": call("os.system", "touch executed")}),
    "INST": Raw(pickle.MARK + encode("touch executed") + pickle.INST + b"os\nsystem\n"),
    "OBJ": Raw(pickle.MARK + encode(named("os.system")) + encode("touch executed") + pickle.OBJ),
    "NEWOBJ": Raw(encode(named("subprocess.Popen")) + ARGUMENTS + pickle.NEWOBJ),
    "NEWOBJ_EX": Raw(encode(named("subprocess.Popen")) + ARGUMENTS + encode({}) + pickle.NEWOBJ_EX),
    "STACK_GLOBAL": Raw(STRINGS + pickle.STACK_GLOBAL + ARGUMENTS + pickle.REDUCE),
    "memo": Raw(
        encode(named("os.system")) + pickle.BINPUT + b"\x05" + pickle.POP
        + pickle.BINGET + b"\x05" + ARGUMENTS + pickle.REDUCE
    ),
    "eval": call("builtins.eval", "__import__('os').system('touch executed')"),
    "getattr": call("builtins.getattr", named("torch._utils._rebuild_tensor_v2"), "__globals__"),
    "dotted": Raw(encode("collections") + encode("OrderedDict.__init__") + pickle.STACK_GLOBAL),
    "torch itself": call("torch.storage._load_from_bytes", "x"),
    "parameter class": call("torch.nn.parameter.Parameter", 1),
    "as a dictionary key": {call("os.system", "touch executed"): 1},
}  # fmt: skip
NAMES = {
    "below an allowed call": "posix.system",
    "NEWOBJ": "subprocess.Popen",
    "NEWOBJ_EX": "subprocess.Popen",
    "eval": "builtins.eval",
    "getattr": "builtins.getattr",
    "dotted": "collections.OrderedDict.__init__",
    "torch itself": "torch.storage._load_from_bytes",
    "parameter class": "torch.nn.parameter.Parameter",
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_refuses_by_name_and_runs_nothing(tmp_path, monkeypatch, trick):
    monkeypatch.chdir(tmp_path)
    message = refusal(write(tmp_path / "a.pt", HOSTILE[trick], {}))
    assert message.startswith(f"refuses {NAMES.get(trick, 'os.system')}: save tensors")
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_a_name_with_line_breaks_stays_on_one_line(tmp_path):
    value = Raw(encode("os\nInstalled") + encode("x" * 5000) + pickle.STACK_GLOBAL)
    message = refusal(write(tmp_path / "a.pt", value, {}))
    assert message.startswith(r"refuses os\nInstalled.xxx")
    assert len(message) < 250


def test_refuses_extension_codes_even_when_cached(tmp_path):
    copyreg.add_extension("os", "system", 1)
    try:
        pickle.loads(pickle.EXT1 + b"\x01" + pickle.STOP)  # now in the cache of the pickle module
        for bits, opcode in enumerate([pickle.EXT1, pickle.EXT2, pickle.EXT4]):
            code = opcode + (1).to_bytes(2**bits, "little")
            message = refusal(write(tmp_path / "a.pt", Raw(code + ARGUMENTS + pickle.REDUCE), {}))
            assert message.startswith(f"refuses pickle opcode EXT{2**bits}:")
    finally:
        copyreg.remove_extension("os", "system", 1)
        copyreg.clear_extension_cache()


VIEW = tensor("FloatStorage", "0", 6, 0, (6,), (1,))
REBUILD = named("torch._utils._rebuild_tensor_v2")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (build(REBUILD, {"__wrapped__": 1}), "is damaged"),
        (build(REBUILD, (None, {"__defaults__": (1,)})), "is damaged"),
        (build(call("collections.OrderedDict"), {"items": 1}), "refuses attributes of an OrderedDict"),
        (build(call("collections.OrderedDict"), (None, {"items": 1})), "refuses attributes of an Ord"),
        (build(VIEW, {"offset": 5}), "is damaged"),
        (build(storage("FloatStorage", "0", 6), (None, {"length": 9})), "is damaged"),
        (Raw(encode("0") + pickle.BINPERSID), "is damaged"),
        (Raw(encode(("module", 1, "0", "cpu", 6)) + pickle.BINPERSID), "refuses a persistent id"),
        (REBUILD, "refuses a bare function, type or storage"),
        ([storage("FloatStorage", "0", 6)], "refuses a bare function, type or storage"),
        (call("torch._utils._rebuild_tensor_v2", 1, 0, (6,), (1,)), "refuses a call of torch._utils"),
        (storage("FloatStorage", ("0",), 6), "refuses a persistent id"),
        (call("torch.FloatStorage", 1), "refuses a call of torch.FloatStorage with such arguments"),
        (Raw(encode("OrderedDict") + encode(()) + pickle.REDUCE), "refuses a call of something"),
        (Raw(encode(named("torch.Size")) + encode(()) + pickle.NEWOBJ), "refuses pickle opcode NEWOBJ"),
        (Raw(encode(1) + encode(1) + pickle.STACK_GLOBAL), "refuses a name that is not text"),
        (call("numpy.dtype", "O8", False, True), "refuses a call of numpy.dtype with such arguments"),
        (call("numpy.dtype", "f8", False, True), "refuses a bare function, type or storage"),
        (build(call("numpy.dtype", "f8", False, True), (3, ">")), "refuses a NumPy number that is not"),
        (call("numpy.core.multiarray.scalar", "f8", "1"), "refuses a call of numpy.core.multiarray.scalar"),
        (call("_codecs.encode", "x", "rot13"), "refuses a call of _codecs.encode with such arguments"),
        ({Raw(pickle.EMPTY_TUPLE + pickle.TUPLE1 * 300_000): 1}, "refuses a dictionary key or set"),
        ({Raw(pickle.EMPTY_TUPLE + (pickle.BINPUT + b"0" + pickle.BINGET + b"0" + pickle.TUPLE2) * 99): 1},
         "refuses a dictionary key or set"),
        (call("__builtin__.set", [(1,)]), "refuses a dictionary key or set"),
        (Raw(pickle.BINGET + b"\x07"), "is damaged"),
        (Raw(pickle.TUPLE2), "is damaged"),
        (Raw(pickle.APPENDS), "is damaged"),
        (Raw(b""), "is damaged"),
        (Raw(pickle.NONE + pickle.POP), "refuses pickle opcode POP"),
    ],
)  # fmt: skip
def test_refuses_invalid_programs(tmp_path, value, complaint):
    assert refusal(write(tmp_path / "a.pt", value, {"0": SIX})).startswith(complaint)
    # and no later file is read otherwise
    np.testing.assert_array_equal(read_torch_file(write(tmp_path / "b.pt", VIEW, {"0": SIX})), SIX)


@pytest.mark.parametrize(
    ("length", "offset", "shape", "strides", "complaint"),
    [
        (6, 0, (7,), (1,), "holds a tensor outside its storage 0"),
        (6, 1, (6,), (1,), "holds a tensor outside its storage 0"),
        (6, 6, (), (), "holds a tensor outside its storage 0"),
        (6, 0, (2, 3), (4, 1), "holds a tensor outside its storage 0"),
        (6, 0, (2,), (2**62,), "holds a tensor outside its storage 0"),
        (6, 5, (6,), (-1,), "has a tensor with an invalid size"),
        (6, -1, (2,), (1,), "has a tensor with an invalid size"),
        (6, 0, (-2,), (1,), "has a tensor with an invalid size"),
        (6, 0, (2, 3), (1,), "is damaged"),
        (6, 0, ("6",), (1,), "has a tensor with an invalid size"),
        (6, True, (1,), (1,), "has a tensor with an invalid size"),
        (6, 0, (2**62,), (0,), "holds a tensor that repeats elements"),
        (6, 0, (0, 2**62), (1, 1), "is damaged"),
        (2**60, 0, (2**60,), (1,), "storage 0 is missing or not of the declared size"),
        (5, 0, (5,), (1,), "storage 0 is missing or not of the declared size"),
        (-6, 0, (6,), (1,), "has a tensor with an invalid size"),
    ],
)  # fmt: skip
def test_refuses_views_outside_their_storage(tmp_path, length, offset, shape, strides, complaint):
    value = tensor("FloatStorage", "0", length, offset, shape, strides)
    assert refusal(write(tmp_path / "a.pt", value, {"0": SIX})).startswith(complaint)


def test_refuses_a_storage_that_the_archive_lacks(tmp_path):
    assert refusal(write(tmp_path / "a.pt", VIEW, {})).startswith(
        "storage 0 is missing or not of the declared size"
    )


def test_refuses_lazily_negated_tensors(tmp_path):
    place = storage("FloatStorage", "0", 6)
    value = call("torch._utils._rebuild_tensor_v2", place, 0, (6,), (1,), False, None, {"neg": True})
    assert refusal(write(tmp_path / "a.pt", value, {"0": SIX})).startswith("refuses a tensor that is conj")


def test_refuses_compressed_entries(tmp_path):
    honest = write(tmp_path / "a.pt", VIEW, {"0": bytes(24)})
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(tmp_path / "b.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name), compress_type=zipfile.ZIP_DEFLATED)
    assert "compressed or larger than the file" in refusal(tmp_path / "b.pt")


def test_refuses_entries_larger_than_the_file(tmp_path):
    path = write(tmp_path / "a.pt", tensor("ByteStorage", "0", 2**31, 0, (1,), (1,)), {"0": bytes(24)})
    sizes = (24).to_bytes(4, "little") * 2
    data = path.read_bytes()
    assert data.count(sizes) == 2  # in the entry's own header and in the directory
    path.write_bytes(data.replace(sizes, (2**31).to_bytes(4, "little") * 2))
    assert "compressed or larger than the file" in refusal(path)


def test_refuses_flipped_bytes(tmp_path):
    path = write(tmp_path / "a.pt", VIEW, {"0": SIX})
    path.write_bytes(path.read_bytes().replace(SIX.tobytes(), SIX[::-1].tobytes()))
    assert refusal(path).startswith("is damaged")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_refuses_truncated_files(tmp_path, share):
    data = write(tmp_path / "a.pt", VIEW, {"0": np.zeros(10_000, np.float32)}).read_bytes()
    (tmp_path / "b.pt").write_bytes(data[: int(share * len(data))])
    assert refusal(tmp_path / "b.pt") == "is damaged: download or save it again"


def test_names_other_kinds_of_files(tmp_path):
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"a": 1}, 2))
    assert refusal(tmp_path / "pickle.pt").startswith("is a pickle, but not of torch.save: save")
    (tmp_path / "text.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert refusal(tmp_path / "text.pt").startswith("is not a file of torch.save: download it again")
    script = write(tmp_path / "script.pt", VIEW, {"0": SIX}, **{"constants.pkl": b"x", "code/a.py": b"x"})
    assert refusal(script).startswith("is a TorchScript archive: torch.jit.load it and save tensors")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as file:
        file.writestr("images/a.png", b"x")
    assert refusal(tmp_path / "zip.pt").startswith("is a zip archive, but not of torch.save")
    assert refusal(tmp_path / "none.pt").startswith("cannot be read (No such file or directory)")


OLD = {"weight": VIEW, "part": tensor("FloatStorage", "0", 6, 2, (2, 2), (1, 2)), "epoch": 3}
COUNT = tensor("LongStorage", "1", 1, 0, (), ())


def test_reads_files_of_torch_before_1_6(tmp_path):
    numbers = {"0": SIX, "1": np.array([5], np.int64)}
    read = read_torch_file(write_old(tmp_path / "old.pt", OLD | {"count": COUNT}, numbers))
    np.testing.assert_array_equal(read["weight"], SIX)
    np.testing.assert_array_equal(read["part"], [[2, 4], [3, 5]])
    assert (read["epoch"], read["count"].item(), len(read)) == (3, 5, 4)
    assert np.shares_memory(read["weight"], read["part"])


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_refuses_truncated_files_of_torch_before_1_6(tmp_path, share):
    data = write_old(tmp_path / "old.pt", OLD, {"0": SIX}).read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: int(share * len(data))])
    assert refusal(tmp_path / "cut.pt").startswith("is damaged")


@pytest.mark.parametrize(
    ("value", "storages", "complaint"),
    [
        (call("os.system", "touch executed"), {}, "refuses os.system"),
        (OLD, {}, "lacks a storage"),
        (OLD, {"0": SIX, "1": SIX}, "is damaged"),
        (OLD, {"0": SIX[:5]}, "is damaged"),
        (tensor("FloatStorage", "0", 2**60, 0, (1,), (1,)), {"0": SIX}, "is damaged"),
        (tensor("FloatStorage", "0", 6, 0, (7,), (1,)), {"0": SIX}, "holds a tensor outside its storage 0"),
        ([VIEW, tensor("LongStorage", "0", 3, 0, (3,), (1,))], {"0": SIX}, "lacks a storage, or has two"),
    ],
)
def test_refuses_invalid_files_of_torch_before_1_6(tmp_path, monkeypatch, value, storages, complaint):
    monkeypatch.chdir(tmp_path)
    assert refusal(write_old(tmp_path / "old.pt", value, storages)).startswith(complaint)
    assert [file.name for file in tmp_path.iterdir()] == ["old.pt"]
