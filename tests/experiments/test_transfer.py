"""train and transfer as commands: prompts from one folder, used on another."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import make_category
from tests.experiments.command import here
from vlmad_jax import InputError
from vlmad_jax.training.train import Resources, TrainConfig

pytestmark = pytest.mark.usefixtures("evaluating")


def test_prompts_of_one_folder_are_tested_on_another(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_category(tmp_path / "others/cup")
    out = tmp_path / "out"
    flags = [
        "--method=anomalyclip",
        f"--weights={weights}",
        "--train=folder",
        f"--train_data_dir={tmp_path / 'others'}",
        "--test=folder",
        f"--test_data_dir={folder}",
        "--epochs=1",
        "--blur_sigma=1.5",
        f"--out={out}",
    ]
    done = here(capsys, "transfer", *flags)
    assert done.code == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    params = out / "train/params"
    assert str(params) in first
    assert str(out / "train/losses.png") in first
    assert "results are in" in rest[-1]
    contents = json.loads((out / "test/metrics.json").read_text())
    assert contents["method"] == "anomalyclip"
    assert contents["config"]["setting"]["blur_sigma"] == 1.5
    assert set(contents["categories"]) == {"bottle", "metal_nut"}

    again = here(
        capsys,
        "zero_shot",
        "--method=anomalyclip",
        f"--weights={weights}",
        "--dataset=folder",
        f"--data_dir={folder}",
        "--batch_size=8",
        f"--params={params}",
        f"--out={tmp_path / 'again'}",
    )
    assert again.code == 0, again.stderr
    repeated = json.loads((tmp_path / "again/metrics.json").read_text())
    assert repeated["categories"] == contents["categories"]

    samples = here(
        capsys, "few_shot", *flags[:2], "--dataset=folder", f"--data_dir={folder}", f"--params={params}"
    )
    assert samples.code == 1
    assert (
        samples.stderr.splitlines()[-1]
        == "error: anomalyclip takes no reference images; use experiments.zero_shot"
    )


# Every flag of training with another value, and what of the run it changes.
CHANGES: dict[str, tuple[str, Any]] = {
    "weights": ("elsewhere", "elsewhere"),
    "dataset": ("visa", "visa"),
    "data_dir": ("~/visa", str(Path("~/visa").expanduser())),
    "categories": ("cup,lid", ("cup", "lid")),
    "epochs": ("3", 3),
    "batch_size": ("4", 4),
    "learning_rate": ("0.5", 0.5),
    "seed": ("9", 9),
    "dtype": ("bfloat16", "bfloat16"),
    "cache_features": ("true", True),
    "auxiliary": ("cutpaste", "cutpaste"),
}
SETTINGS: dict[str, tuple[str, Any]] = {
    "image_size": ("96", 96),
    "dpam_layers": ("2", 2),
    "feature_layers": ("1,2", (1, 2)),
    "context_length": ("5", 5),
    "deep_depth": ("2", 2),
    "deep_length": ("3", 3),
    "blur_sigma": ("0.5", 0.5),
    "attention": ("qq", "qq"),
}
USED = {
    "workers": ("2", 2),
    "accumulate": ("4", 4),
    "save_every": ("7", 7),
    "cache_gigabytes": ("0.5", 0.5),
}


def test_every_flag_of_training_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from vlmad_jax.commands import training

    seen: list[dict[str, Any]] = []

    def record(config: TrainConfig, out: Path, resources: Resources) -> Path:
        seen.append(dataclasses.asdict(config) | dataclasses.asdict(resources) | {"out": out})
        return tmp_path

    monkeypatch.setattr(training, "train_method", record)
    base = ["--method=anomalyclip", "--dataset=synthetic"]
    assert here(capsys, "train", *base).code == 0
    default = seen[0]
    for name, (given, expected) in {**CHANGES, **SETTINGS, **USED, "out": ("a", Path("a"))}.items():
        assert here(capsys, "train", *base, f"--{name}={given}").code == 0
        changed = {key for key in default if seen[-1][key] != default[key]}
        if name in SETTINGS:
            assert (seen[-1]["setting"], changed) == (((name, expected),), {"setting", "out"})
        else:
            assert seen[-1][name] == expected
            assert changed == ({name, "out"} if name in CHANGES else {name})


def test_the_image_size_is_a_side_or_height_and_width() -> None:
    from vlmad_jax.commands.training import image_size_from

    assert [image_size_from(x) for x in (None, ["96"], ["48", "80"])] == [None, 96, (48, 80)]
    for wrong in (["48", "80", "96"], ["x"], ["-8"], [""]):
        with pytest.raises(InputError, match="is neither a side nor height,width; give for example 336"):
            image_size_from(wrong)


METHOD = "--method=anomalyclip"


@pytest.mark.parametrize(
    ("experiment", "flags", "message"),
    [
        ("train", [METHOD], "--dataset is missing; give"),
        ("train", ["--dataset=synthetic"], "--method is missing; give one of anomalyclip"),
        ("train", ["--method=winclip", "--dataset=synthetic"], "method 'winclip' learns no parameters"),
        (
            "train",
            [METHOD, "--dataset=elpv", "--feature_layers=a"],
            "--feature_layers=a must be",
        ),
        (
            "train",
            [METHOD, "--dataset=elpv", "--processes=2"],
            "--coordinator, --processes and",
        ),
        (
            "transfer",
            [METHOD, "--train=visa"],
            "--train or --test is missing; give both, for example --train=visa",
        ),
        (
            "transfer",
            [METHOD, "--train=elpv", "--test=elpv"],
            "--train and --test are both elpv",
        ),
    ],
)
def test_bad_flags(
    experiment: str, flags: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = here(capsys, experiment, *flags, f"--out={tmp_path / 'out'}")
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()
