"""zero_shot and few_shot as commands: their flags, what they print, and that a killed run loses nothing."""

import gzip
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.data.conftest import made_image, make_category, save
from tests.experiments.command import Done, here, there
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.methods.options import flattened

pytestmark = pytest.mark.usefixtures("evaluating")

# `Results.add` and `write_json` finish a category; `_row` comes between its scores and its metrics.
KILLED = """
import os, signal, sys
from vlmad_jax.evaluation import evaluate as evaluation, results
owner, name, count = {"row": (evaluation.CategoryEvaluator, "_row", 3), "add": (results.Results, "add", 1),
                      "json": (results, "write_json", 1)}[sys.argv.pop(1)]
original, calls = getattr(owner, name), []
def die(*arguments):
    if name == "add":
        original(*arguments)
    calls.append(1)
    if len(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
setattr(owner, name, die)
from experiments import zero_shot
from vlmad_jax.commands import common
common.main(zero_shot.main)
"""


@pytest.fixture
def base(folder: Path, weights: Path) -> list[str]:
    """The flags of a small run, but for --out."""
    return [
        "--method=winclip",
        f"--weights={weights}",
        "--dataset=folder",
        f"--data_dir={folder}",
        "--window_sizes=2",
        "--batch_size=2",
    ]


def test_a_trace_shows_reading_beside_scoring(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--categories=bottle", f"--out={tmp_path / 'out'}", f"--trace={tmp_path / 'trace'}"]
    done = here(capsys, "zero_shot", *base, *flags)
    assert done.code == 0, done.stderr
    (path,) = (tmp_path / "trace").rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    threads: dict[str, set[int]] = {}
    for event in events:
        threads.setdefault(event.get("name", ""), set()).add(event.get("tid"))
    assert threads["read"] == threads["to device"]
    assert threads["score"] == threads["fetch"]
    assert threads["read"].isdisjoint(threads["score"])
    refused = here(capsys, "zero_shot", *base, f"--out={tmp_path / 'two'}", f"--trace={path}")
    assert (refused.code, refused.stderr.count("\n")) == (1, 1)
    assert "cannot be created" in refused.stderr


@pytest.mark.long
def test_killed_and_started_again_gives_the_same_files(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = here(capsys, "zero_shot", *base, f"--out={tmp_path / 'whole'}")
    assert whole.code == 0, whole.stderr
    killed = tmp_path / "killed"
    finished = []
    # In the middle of the first category, when it is finished, and between the files of the second.
    for moment in ("row", "add", "json"):
        done = there("-c", KILLED, moment, *base, f"--out={killed}")
        assert done.code == -signal.SIGKILL, done.stderr
        finished.append(sorted(path.name for path in (killed / "categories").glob("*")))
        assert not (killed / "metrics.json").exists()
    assert finished == [[], ["bottle.csv", "bottle.json"], ["bottle.csv", "bottle.json", "metal_nut.csv"]]
    kept = (killed / "categories/bottle.json").stat().st_mtime_ns
    done = here(capsys, "zero_shot", *base, f"--out={killed}")
    assert done.code == 0, done.stderr
    assert (killed / "categories/bottle.json").stat().st_mtime_ns == kept
    for name in ("metrics.json", "scores.csv"):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    table = whole.stdout.split("\n\nresults are in")[0]
    assert done.stdout.startswith(table)


@pytest.mark.long
def test_from_another_folder_with_processes(base: list[str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flags = ["--shots=2", "--workers=2", "--categories=metal_nut"]
    done = there("-m", "experiments.few_shot", *base, *flags, cwd=elsewhere)
    assert done.code == 0, done.stderr
    (out,) = (elsewhere / "results/few_shot").iterdir()
    assert out.name.startswith("winclip-folder-")
    assert done.stdout.endswith(f"\nresults are in results/few_shot/{out.name}\n")
    assert sorted(path.name for path in out.glob("*.*")) == [
        "config.json",
        "environment.json",
        "metrics.json",
        "references.json",
        "scores.csv",
    ]
    # Of all libraries only our progress bar speaks.
    first, *lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line]
    assert first == "no category has masks of its anomalous images, so pixel metrics are skipped"
    assert all("images" in line for line in lines), done.stderr
    assert "5/5" in lines[-1]


def test_published_figures_stand_beside_ours(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for category in ("bottle", "zipper"):
        make_category(tmp_path / "mvtec" / category)
    flags = [*base, "--dataset=mvtec_ad", f"--data_dir={tmp_path / 'mvtec'}", f"--out={tmp_path / 'out'}"]
    done = here(capsys, "zero_shot", *flags)
    assert done.code == 0, done.stderr
    mean = json.loads((tmp_path / "out/metrics.json").read_text())["mean"]
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["mean"][:7] == [f"{value:.3f}" for value in mean.values()]
    assert len(rows["bottle"]) == len(rows["zipper"]) == 9  # with two of the comparison paper
    literature = next(line for line in done.stdout.splitlines() if line.startswith("published [1]"))
    assert literature.split()[2:4] == ["0.918", "0.965"]
    assert "[1] WinCLIP, as published in the literature" in done.stdout


# Every flag with another value, and what of the evaluation it changes; --method has but one value.
CHANGES: dict[str, tuple[str, Any]] = {
    "weights": ("elsewhere", "elsewhere"),
    "dataset": ("visa", "visa"),
    "data_dir": ("~/images", os.path.expanduser("~/images")),
    "categories": ("cup,lid", ("cup", "lid")),
    "batch_size": ("3", 3),
    "dtype": ("bfloat16", "bfloat16"),
    "seed": ("9", 9),
    "window_sizes": ("2,4", (2, 4)),
    "window_stride": ("2", 2),
    "merge_tokens": ("1", 1),
    "multi_scale_sizes": ("32,48", (32, 48)),
    "feature_layers": ("5,6", (5, 6)),
    "image_neighbours": ("1,8", (1, 8)),
    "unit_length": ("true", True),
    "rotations": ("90,180", (90, 180)),
    "mask_foreground": ("true", True),
    "mask_references": ("true", True),
    "mask_filter": ("grid", "grid"),
    "explained_variance": ("0.9", 0.9),
    "random_rotations": ("3", 3),
    "network_width": ("4", 4),
    "resolution": ("64", 64),
    "steps": ("7", 7),
    "params": ("b.pth", "b.pth"),
    "out": ("place", Path("place")),
    "resume": ("false", False),
    "save_maps": ("true", True),
    "workers": ("5", 5),
    "shots": ("8", 8),
    "reference_list": ("a.json", "a.json"),
    "resize": ("shorter", "shorter"),
}
RUN = ("out", "resume", "save_maps", "workers")


def test_every_flag_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from vlmad_jax.commands import common

    seen: list[dict[str, Any]] = []

    def record(config: EvaluationConfig, *run: Any, shard: Any) -> dict[str, Any]:
        assert shard is None  # tests/evaluation/test_scorer.py
        entries = {"resize": config.resize, **flattened(config)}  # which omit the default
        seen.append(entries | dict(zip(RUN, run, strict=True)))
        return {"categories": {}, "mean": {}}

    monkeypatch.setattr(common, "evaluate", record)
    assert here(capsys, "few_shot", "--method=winclip").code == 0
    (default,) = seen
    assert default.keys() == {"method", *CHANGES}
    for name, (given, expected) in CHANGES.items():
        assert here(capsys, "few_shot", "--method=winclip", f"--{name}={given}").code == 0
        changed = {key for key in default if seen[-1][key] != default[key]}
        assert seen[-1][name] == (list(expected) if isinstance(expected, tuple) else expected)
        # The folder of the results is named by the configuration.
        assert changed == ({name} if name in RUN else {name, "out"})


def test_the_bundled_weights_are_said_to_be_for_trying(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    from vlmad_jax.commands import common

    monkeypatch.setattr(common, "evaluate", lambda *_, **__: {"categories": {}, "mean": {}})

    def said(*flags: str) -> bool:
        done = here(capsys, "zero_shot", "--method=winclip", *flags)
        return "--weights=openai/clip-vit-large-patch14-336" in done.stdout

    bundled = hub.BUNDLED_DIRECTORY
    assert [said(), said(f"--weights={bundled}"), said(f"--weights={weights}")] == [True, True, False]


def test_help_lists_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for experiment, own in (("zero_shot", False), ("few_shot", True)):
        text: Done = here(capsys, experiment, "--help")
        assert (text.code, text.stderr, "Traceback" in text.stdout) == (0, "", False)
        flags = {line.strip().split(":")[0] for line in text.stdout.splitlines() if line.startswith("  --")}
        wanted = {"--method", "--out", "--[no]resume", "--window_sizes"}
        assert wanted < flags
        assert ({"--shots", "--reference_list"} < flags) == own
        assert not flags & {"--verbosity", "--logtostderr", "--helpfull"}


def test_what_is_left_out_is_said(
    base: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latin_1 = os.fsdecode(b"ray\xe9")
    save(made_image(1), folder / f"bottle/test/{latin_1}/lot2/{latin_1}.png")
    save(made_image(1), folder / f"bottle/test/{latin_1}/a.heic", format="PNG")
    for _ in range(2):
        done = here(capsys, "zero_shot", *base, "--save_maps", f"--out={tmp_path / 'out'}")
        assert done.code == 0, done.stderr
        assert [
            line
            for line in done.stderr.splitlines()
            if line and "images/s" not in line and "image]" not in line
        ] == [
            "skipped: 1 file with the suffix .heic, which is not read (bottle/test/ray\\xe9/a.heic)",
            "bottle: 1 of 4 anomalous images has no mask (bottle/test/ray\\xe9/lot2/ray\\xe9.png), so its "
            "pixel metrics are skipped",
            "metal_nut: no masks of anomalous images, so their pixel metrics are skipped",
        ]
    assert (tmp_path / f"out/maps/bottle/{latin_1}/lot2/{latin_1}.png").exists()
