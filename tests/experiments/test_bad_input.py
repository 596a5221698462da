"""Bad input ends a command with exit code 1 and one line that names it, and leaves nothing in --out."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.backbones.torch_files import encode
from tests.data.conftest import made_image, make_category, mask, save
from tests.experiments.command import here, there
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.commands import common
from vlmad_jax.methods import METHODS

pytestmark = pytest.mark.usefixtures("evaluating")

CHOICES = ", ".join(METHODS)


class Workplace:
    """A folder with weights and images to spoil, and the flags of a run on them."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder = folder
        self.weights = Path(shutil.copytree(weights, folder / "weights"))
        self.images = folder / "products"
        make_category(self.images / "bottle")
        self.out = folder / "out"

    def flags(self, *changed: str) -> list[str]:
        """Flags of few_shot; those given later count."""
        given = {"method": "winclip", "weights": self.weights, "dataset": "folder", "shots": "1"}
        given |= {"data_dir": self.images, "out": self.out}
        return [*(f"--{name}={value}" for name, value in given.items()), *changed]

    def tensors(self, change: Callable[[dict[str, np.ndarray]], None]) -> None:
        tensors = read_tensors(self.weights)
        change(tensors)
        write_safetensors(self.weights / "model.safetensors", tensors)


@pytest.fixture
def place(tmp_path: Path, weights: Path) -> Workplace:
    return Workplace(tmp_path, weights)


FLAGS = {
    "an unknown method": (
        "--method=winklip",
        f"method 'winklip' is not one of {CHOICES}; give one of these",
    ),
    "no method": ("--method=", f"method '' is not one of {CHOICES}; give one of these"),
    "an unknown data set": (
        "--dataset=mvtec",
        "--dataset: unknown data set 'mvtec'; choose one of mvtec_ad, visa, mpdd, ",
    ),
    "an unknown category": (
        "--categories=bottle,cup",
        "--categories: folder has no category 'cup'; known: bottle",
    ),
    "unknown weights": (
        "--weights=nowhere",
        "nowhere: no such directory; give a checkpoint's directory or a hub id",
    ),
    "no such folder": ("--data_dir=/no/where", "--data_dir: /no/where does not exist; give a folder with"),
    "more shots than samples": (
        "--shots=6",
        "--shots=6: category 'bottle' has 5 normal training images; give 1 to 5",
    ),
    "a missing manifest": ("--reference_list=/no/refs.json", "/no/refs.json: cannot be read (No such file"),
    "a window beyond the grid": (
        "--window_sizes=2,9",
        "--window_sizes=2,9: window size 9 does not fit a grid of 8 x 8 patches; give sizes from 1 to 8",
    ),
    "a stride beyond the windows": (
        "--window_stride=3",
        "--window_stride=3: window stride 3 does not cover every patch with windows of 2 x 2; give 1 to the",
    ),
    "fewer than no tokens": ("--merge_tokens=-1", "--merge_tokens=-1: merge_tokens -1 is below 0; give 0"),
    "a view that patches do not divide": (
        "--multi_scale_sizes=44",
        "--multi_scale_sizes=44: multi-scale size 44 is not a multiple of the patch size of 8 pixels",
    ),
    "no window": ("--window_sizes=", "--window_sizes=: no window size; give at least one"),
    "windows that are no numbers": (
        "--window_sizes=a",
        "--window_sizes=a are not whole numbers; give for example 2,3",
    ),
    "an unknown precision": ("--dtype=float64", "dtype 'float64' is not one of float32, bfloat16"),
    "a seed below 0": (
        "--seed=-1",
        "flag --seed=-1: -1 is not a non-negative integer; --help lists the flags",
    ),
    "no batch": ("--batch_size=0", "flag --batch_size=0: 0 is not a positive integer; --help lists"),
    "no number": ("--shots=few", "--shots=few is not a number of images; give for example 4, or all"),
    "an unknown flag": (
        "--metod=winclip",
        "Unknown command line flag 'metod'. Did you mean: method ?; --help lists the flags",
    ),
    "no flag at all": ("winclip", "'winclip' is not a flag; flags are written --name=value"),
}


def check(place: Workplace, capsys: pytest.CaptureFixture[str], expected: str, *flags: str) -> None:
    done = here(capsys, "few_shot", *place.flags(*flags))
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert not place.out.exists()


@pytest.mark.parametrize("case", FLAGS)
def test_flags(place: Workplace, capsys: pytest.CaptureFixture[str], case: str) -> None:
    flag, expected = FLAGS[case]
    check(place, capsys, expected, flag)


def test_no_method_is_winclip(capsys: pytest.CaptureFixture[str]) -> None:
    for experiment in ("zero_shot", "few_shot"):
        done = here(capsys, experiment, "--dataset=none")
        assert done.stderr.startswith("error: --dataset: unknown data set 'none'; choose one of "), (
            done.stderr
        )
    assert common.DEFAULT_METHOD == "winclip"


def missing(place: Workplace) -> None:
    place.tensors(lambda tensors: tensors.pop("text_projection.weight"))


def unexpected(place: Workplace) -> None:
    place.tensors(lambda tensors: tensors.update(extra=np.zeros(2, np.float32)))


def misshapen(place: Workplace) -> None:
    place.tensors(lambda tensors: tensors.update({"visual_projection.weight": np.zeros((2, 3), np.float32)}))


def not_finite(place: Workplace) -> None:
    place.tensors(lambda tensors: tensors.update(logit_scale=np.float32(np.nan)))


def truncated(place: Workplace) -> None:
    path = place.weights / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def hostile(place: Workplace) -> None:
    (place.weights / "model.safetensors").unlink()
    with zipfile.ZipFile(place.weights / "pytorch_model.bin", "w") as file:
        call = pickle.GLOBAL + b"os\nsystem\n" + encode(("touch " + str(place.folder / "hacked"),))
        file.writestr("archive/data.pkl", pickle.PROTO + b"\x02" + call + pickle.REDUCE + pickle.STOP)
        file.writestr("archive/version", "3")


def no_tokenizer(place: Workplace) -> None:
    (place.weights / "tokenizer.json").unlink()


def no_configuration(place: Workplace) -> None:
    (place.weights / "config.json").unlink()


WEIGHTS = {
    missing: "weights: the tensors do not fit its configuration (missing: text_projection.weight); download",
    unexpected: "(unexpected: extra)",
    misshapen: "(misshapen: visual_projection.weight [2, 3] instead of [48, 128])",
    not_finite: "(not finite: logit_scale)",
    truncated: "weights/model.safetensors: is truncated or damaged: download it again",
    hostile: "weights/pytorch_model.bin: refuses os.system: save tensors and plain",
    no_tokenizer: "weights: has no tokenizer.json; copy the one of the model",
    no_configuration: "weights: has no config.json or open_clip_config.json; give the directory of a",
}


@pytest.mark.parametrize("spoil", WEIGHTS, ids=lambda spoil: spoil.__name__)
def test_weights(
    place: Workplace, capsys: pytest.CaptureFixture[str], spoil: Callable[[Workplace], None]
) -> None:
    spoil(place)
    check(place, capsys, WEIGHTS[spoil])
    assert not (place.folder / "hacked").exists()


def empty(place: Workplace) -> None:
    shutil.rmtree(place.images)
    place.images.mkdir()


def no_good(place: Workplace) -> None:
    shutil.rmtree(place.images / "bottle/train")
    shutil.rmtree(place.images / "bottle/test/good")


def no_test(place: Workplace) -> None:
    shutil.rmtree(place.images / "bottle/test")
    shutil.rmtree(place.images / "bottle/ground_truth")


def mask_of_another_size(place: Workplace) -> None:
    save(mask(size=(12, 11)), place.images / "bottle/ground_truth/bent/000_mask.png")


def mask_without_image(place: Workplace) -> None:
    save(mask(), place.images / "bottle/ground_truth/bent/007_mask.png")


IMAGES = {
    empty: "products holds no category; expected <category>/train/good",
    no_good: "products: category 'bottle' has no normal images; add some or exclude it",
    no_test: "products: category 'bottle' has no test images; add some or exclude",
    mask_of_another_size: "bent/000_mask.png: the mask is 12 x 11, but its image is 12 x 10 (",
    mask_without_image: "bent/007_mask.png: the image of this mask is missing; add ",
}


@pytest.mark.parametrize("spoil", IMAGES, ids=lambda spoil: spoil.__name__)
def test_images(
    place: Workplace, capsys: pytest.CaptureFixture[str], spoil: Callable[[Workplace], None]
) -> None:
    spoil(place)
    check(place, capsys, IMAGES[spoil])


def test_manifests(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = place.folder / "references.json"
    for listed, expected in (
        ({"cup": ["000.png"]}, "references.json: lists no images of category 'bottle'"),
        ({"bottle": ["test/good/000.png"]}, "test/good/000.png is not a normal training image of category"),
        ({"bottle": ["000.png", "001.png"]}, "lists 2 images of bottle, not --shots=1; give --shots=2"),
    ):
        manifest.write_text(json.dumps(listed))
        check(place, capsys, expected, f"--reference_list={manifest}")


def test_out_that_cannot_be_written(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    file = place.folder / "file"
    file.write_text("kept")
    for out in (file, file / "below"):
        check(place, capsys, "cannot be written (", f"--out={out}")
    assert file.read_text() == "kept"
    check(
        place, capsys, "is the configuration of another kind of run", f"--out={place.weights}", "--noresume"
    )
    assert "model_type" in (place.weights / "config.json").read_text()


def test_another_configuration_in_the_same_folder(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = place.flags("--window_sizes=2", "--batch_size=5")
    assert here(capsys, "few_shot", *flags).code == 0
    before = (place.out / "metrics.json").read_bytes()
    refused = here(capsys, "few_shot", *flags, "--seed=3")
    assert refused.code == 1
    assert refused.stderr == (
        f"error: {place.out}: holds a run with seed 0, but this one has 3; give another --out, or "
        "--noresume to replace it\n"
    )
    assert (place.out / "metrics.json").read_bytes() == before
    assert here(capsys, "few_shot", *flags, "--seed=3", "--noresume").code == 0
    assert json.loads((place.out / "metrics.json").read_text())["config"]["seed"] == 3


def test_an_unreadable_reference_is_named(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (place.images / "bottle/train/good").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    done = here(capsys, "few_shot", *place.flags("--window_sizes=2"))
    assert done.code == 1
    assert "train/good/" in done.stderr.splitlines()[-1]
    assert "does not decode (" in done.stderr.splitlines()[-1]
    assert not (place.out / "metrics.json").exists()


def test_true_commands(place: Workplace) -> None:
    mask_of_another_size(place)
    save(made_image(1), place.images / "cup/test/good/000.png")
    for experiment, flags, expected in (
        ("few_shot", ["--categories=bottle"], "the mask is 12 x 11"),
        (
            "zero_shot",
            ["--wights=weights/tiny"],
            "Unknown command line flag 'wights'. Did you mean: weights ?",
        ),
    ):
        given = [flag for flag in place.flags(*flags) if experiment == "few_shot" or "--shots" not in flag]
        done = there("-m", f"experiments.{experiment}", *given, cwd=place.folder)
        assert (done.code, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert expected in line
        assert not place.out.exists()
