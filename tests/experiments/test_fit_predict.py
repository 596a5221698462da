"""From a folder of reference images to decisions, by the two commands."""

import _thread
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import save
from tests.experiments.command import ROOT, Done, here
from tests.inspection.conftest import part
from vlmad_jax import load_detector
from vlmad_jax.inspection import FitConfig, fit

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    for seed in range(4):
        save(part(seed), folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def plate(good: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of plates."""
    out = tmp_path_factory.mktemp("saved") / "plate.vlmad"
    fit(FitConfig("padim", "plate", str(good), str(weights), augmentations=2, batch_size=2), out)
    return out


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A good part, a bad one, and a file that is neither."""
    save(part(20), tmp_path / "new/fine.png")
    save(part(21, spot=True), tmp_path / "new/spotted.png")
    (tmp_path / "new/broken.png").write_bytes(b"broken")
    return tmp_path / "new"


def lines(text: str) -> dict[str, dict]:
    """Lines of JSON by the name of the image."""
    return {Path(row["path"]).name: row for row in map(json.loads, text.splitlines())}


def test_a_detector_from_good_images(
    good: Path, new: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--object=plate", f"--references={good}", f"--weights={weights}"]
    flags += ["--window_sizes=2", "--augmentations=1", "--batch_size=2", "--false_alarms=0.2"]
    out = tmp_path / "plate.vlmad"
    done = here(capsys, "fit", *flags, f"--out={out}")
    assert done.code == 0, done.stderr
    detector = load_detector(out)
    told = detector.description["threshold"]
    rows = [line.split(",") for line in (out / "good_scores.csv").read_text().splitlines()[1:]]
    scores = [(row[2] != "0", float(np.float32(row[3]))) for row in rows]
    above = [sum(x > detector.threshold for copy, x in scores if copy == kind) / 4 for kind in (False, True)]
    source, other = told["from"], next(name for name in told["thresholds"] if name != told["from"])
    named = {"own": "the images' own scores", "augmented": "the scores of augmented copies too"}
    why, *lines = done.stdout.splitlines()
    assert why.startswith("method winclip by default: with 4 reference images its image AUROC is")
    assert lines == [
        "tiles: 1 x 1 of 64 x 64 pixels, of images resized to 64 x 64",
        f"threshold: {detector.threshold:.6g}, from {named[source]}",
        f"alternative: {told['thresholds'][other]:.6g}, from {named[other]} (--threshold_from={other})",
        f"above it: {above[0]:.1%} of 4 reference images, {above[1]:.1%} of 4 augmented copies; "
        "each was held out of the memory",
        "wanted: 20% false alarms",
        "rests on: the rank among 4 images, whatever the distribution of scores",
        f"the detector is {out}",
    ]
    assert done.stderr == (
        "fitting winclip to 4 reference images: scoring 8 images by 4 memories that each lack some of them\n"
    )
    assert told["thresholds"]["own"] == max(x for copy, x in scores if not copy)  # rank 4 of 4
    assert told["thresholds"]["augmented"] >= told["thresholds"]["own"]
    assert detector.description["options"]["window_sizes"] == [2]
    assert [len(x) for x in detector.state.memory.windows] == [4 * 49]
    refused = here(capsys, "fit", *flags, f"--out={out}")
    assert refused == Done(
        1, "", f"error: --out={out}: exists already; give another name, or --overwrite to replace it\n"
    )
    done = here(capsys, "predict", str(out), str(new / "fine.png"), f"--out={tmp_path / 'out'}")
    assert done == Done(0, f"1 good, 0 bad, 0 could not be scored; results are in {tmp_path / 'out'}\n", "")
    tiled = here(capsys, "fit", "--method=padim", *flags[:3], f"--out={out}", "--overwrite", "--tiles=1x2")
    assert "tiles: 1 x 2 of 64 x 64 pixels, of images resized to 112 x 64\n" in tiled.stdout
    assert (
        "\nwanted: 1% false alarms\nrests on: the assumption that scores have a normal tail\n" in tiled.stdout
    )
    assert "\nwithout it: 4 images support 20%; 99 support the wanted rate\n" in tiled.stdout
    assert load_detector(out).canvas == (64, 112)


def test_a_name_alone_gives_a_guess(
    weights: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "zero.vlmad"
    flags = ["--object=plate", f"--weights={weights}", f"--out={out}"]
    faster = ["--window_sizes=2", "--window_stride=2", "--merge_tokens=1", "--multi_scale_sizes=32"]
    done = here(capsys, "fit", *faster, "--dtype=int8", *flags)
    why, rest = done.stdout.split("\n", 1)
    assert why.startswith("method winclip by default: it works from prompts alone")
    assert "\nthreshold: 0.5, a guess halfway between good and bad\n" in rest
    detector = load_detector(out)
    assert (detector.threshold, detector.decision.pixel_threshold) == (0.5, 0.5)
    assert detector.description["threshold"]["rule"] == "guess"
    assert 0 < detector(new / "fine.png").image < 1
    made = detector.method
    assert (made.window_stride, made.merge_tokens, made.multi_scale_sizes) == (2, 1, (32,))
    assert made.clip.dtype == "int8"


def test_good_images_set_the_threshold_of_a_method_that_keeps_none(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "words.vlmad"
    flags = ["--method=coop", "--object=plate", f"--references={good}", f"--out={out}", "--augmentations=0"]
    done = here(capsys, "fit", *flags)
    assert "; coop keeps none of them in memory\n" in done.stdout
    assert "is a very small model" in done.stdout
    scores = [float(row.split(",")[2]) for row in (out / "good_scores.csv").read_text().splitlines()[1:]]
    detector = load_detector(out)
    assert max(scores) < detector.threshold < 1
    assert "params/context" not in detector.description["state"]
    assert detector.description["params"] == {"dict": {"context": "params/context"}}


def test_answers_and_exit_codes(
    plate: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    done = here(capsys, "predict", str(plate), str(new), f"--out={out}", "--save_maps")
    assert done.code == 2
    assert done.stdout.splitlines() == [
        f"1 good, 1 bad, 1 could not be scored; results are in {out}",
        f"bad: {new / 'spotted.png'}",
    ]
    assert "skipped: " in done.stderr
    rows = lines((out / "scores.jsonl").read_text())
    assert [rows[name]["decision"] for name in ("fine.png", "spotted.png", "broken.png")] == [
        "good",
        "bad",
        None,
    ]
    (box, *_) = rows["spotted.png"]["boxes"]
    assert box["x"] <= 20 <= box["x"] + box["width"]  # the spot is at 17 to 35
    again = here(capsys, "predict", str(plate), str(new), f"--out={out}", "--save_maps")
    assert again.code == 2  # of what the first run found
    assert again.stdout.splitlines() == [
        f"0 good, 0 bad, 1 could not be scored; results are in {out}",
        "2 rows kept from an earlier run and not counted above: 1 good, 1 bad",
        f"bad: {new / 'spotted.png'} (from an earlier run)",
    ]
    kinder = here(capsys, "predict", str(plate), str(new), f"--out={out}2", "--threshold=1e9")
    assert (kinder.code, kinder.stdout[:13]) == (0, "2 good, 0 bad")
    nothing = here(capsys, "predict", str(plate), str(new / "broken.png"), f"--out={out}3")
    assert nothing.code == 1
    assert nothing.stderr.endswith("error: none of 1 images could be scored; their rows give the errors\n")


def test_standard_input_is_answered_on_standard_output(
    plate: Path, new: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "".join(f"{new / name}\n" for name in ("spotted.png", "broken.png", "fine.png", "spotted.png"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(asked.encode())))
    done = here(capsys, "predict", str(plate), "-")
    spotted = f"bad: {new / 'spotted.png'}\n"
    assert (done.code, done.stderr) == (2, f"1 good, 2 bad, 1 could not be scored\n{spotted}{spotted}")
    assert [json.loads(line)["decision"] for line in done.stdout.splitlines()] == ["bad", None, "good", "bad"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts raise KeyboardInterrupt: a background job inherits them ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_camera_is_followed_until_it_is_interrupted(
    plate: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, camera = tmp_path / "out", tmp_path / "camera"
    save(part(22), camera / "first.png")

    def work() -> None:
        def answered(count: int) -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                if (out / "scores.jsonl").exists() and (out / "scores.jsonl").read_text().count(
                    "\n"
                ) == count:
                    return
                time.sleep(0.05)

        answered(1)
        (new / "spotted.png").rename(camera / "second.png")
        answered(2)
        _thread.interrupt_main()

    worker = threading.Thread(target=work)
    worker.start()
    done = here(capsys, "predict", str(plate), str(camera), "--watch", f"--out={out}")
    worker.join()
    assert done.code == 2
    assert {name: row["decision"] for name, row in lines(done.stdout).items()} == {
        "first.png": "good",
        "second.png": "bad",
    }
    later = here(capsys, "predict", str(plate), str(camera), "--watch", f"--out={out}", "--idle_seconds=0.1")
    assert (later.code, later.stdout) == (2, "")  # each is answered once


@pytest.mark.long
def test_a_run_that_is_killed_goes_on(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "many", tmp_path / "out"
    first = save(part(23), folder / "0.png")
    for number in range(1, 100):
        os.link(first, folder / f"{number}.png")
    slow = save(Image.new("L", (6000, 6000)), folder / "100.png")  # takes a while, as do its likes
    for number in range(101, 160):
        os.link(slow, folder / f"{number}.png")
    flags = [str(plate), str(folder), f"--out={out}", "--batch_size=1"]
    command = [sys.executable, "-m", "experiments.predict", *flags]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "scores.jsonl").exists() and (out / "scores.jsonl").stat().st_size > 2000:
            break
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    kept = (out / "scores.jsonl").read_bytes()
    kept = kept[: kept.rindex(b"\n") + 1]
    assert 0 < kept.count(b"\n") < 160
    for number in range(100, 160):
        (folder / f"{number}.png").unlink()
        os.link(first, folder / f"{number}.png")
    done = here(capsys, "predict", *flags)
    assert done.code == 0
    before = kept.count(b"\n")
    assert done.stdout.startswith(f"{160 - before} good, 0 bad, 0 could not be scored")
    assert (
        f"{before} rows kept from an earlier run and not counted above: {before} good, 0 bad" in done.stdout
    )
    content = (out / "scores.jsonl").read_bytes()
    assert content.startswith(kept)
    assert len(lines(content.decode())) == content.count(b"\n") == 160


FIT = {
    "no object": ([], "--object is missing; for example --object='metal nut'"),
    "no out": (["--method=padim", "--object=nut"], "--out is missing; for example --out='nut.vlmad'"),
    "an unknown method": (["--method=x", "--object=nut", "--out=o"], "method 'x' is not one of winclip, "),
    "an argument": (["good"], "'good' is not a flag; flags are written --name=value"),
    "no references": (
        ["--method=padim", "--object=nut", "--out=o"],
        "--references is missing: padim knows a product only by images of good parts; give a folder of them",
    ),
    "no such folder": (
        ["--method=padim", "--object=nut", "--out=o", "--references=no/where"],
        "no/where: no such file or folder; give images, or a folder of them",
    ),
    "no rate": (
        ["--method=winclip", "--object=nut", "--out=o", "--false_alarms=1"],
        "--false_alarms=1.0: give a share above 0 and at most 0.5, for example 0.01",
    ),
    "no source": (
        ["--method=winclip", "--object=nut", "--out=o", "--threshold_from=copies"],
        "--threshold_from=copies: give own or augmented",
    ),
    "one block": (
        ["--method=winclip", "--object=nut", "--out=o", "--folds=1"],
        "--folds=1: give 2 or more blocks, or 0 to hold out image by image",
    ),
    "an empty name": (["--method=winclip", "--object= ", "--out=o"], "--object is empty; name"),
    "an unknown precision": (
        ["--method=winclip", "--object=nut", "--out=o", "--dtype=float64"],
        "dtype 'float64' is not one of float32, bfloat16",
    ),
    "an option of another method": (
        ["--method=coop", "--object=nut", "--out=o", "--window_sizes=2"],
        "--window_sizes is not an option of coop; remove it",
    ),
}
USAGE = "the command is python -m experiments.predict DETECTOR IMAGES... [--flags]"
PREDICT = {
    "nothing": ([], f"DETECTOR is missing; {USAGE}"),
    "no images": (["nut.vlmad"], f"IMAGES is missing; {USAGE}"),
    "an unknown flag": (["a", "b", "--tresh=1"], "Unknown command line flag 'tresh'"),
    "no detector": (["a", "b"], "a: no such detector; make one with experiments.fit"),
    "a folder that is none": (["tests", "b"], "tests: is not a saved detector (it has no manifest.json)"),
    "two folders to watch": (["a", "b", "c", "--watch"], "--watch: b c is not a folder; give the folder"),
    "no folder to watch": (["a", "b", "--watch"], "--watch: b is not a folder; give the folder"),
    "idle without watching": (["a", "b", "--idle_seconds=1"], "--idle_seconds needs --watch; give both"),
    "input and more": (["a", "-", "c"], "- reads paths from standard input; give it as the only source"),
    "maps without a place": (["a", "-", "--save_maps"], "--save_maps needs --out when paths come from"),
    "input to Ray": (["a", "-", "--engine=ray"], "- needs --engine=local; leave one of the two out"),
    "sequences on Ray": (["a", "b", "--engine=ray", "--sequence"], "--sequence needs --engine=local; leave"),
    "maps on Ray": (["a", "b", "--engine=ray", "--save_maps"], "--save_maps needs --engine=local; leave"),
    "watching by Ray": (["a", "tests", "--engine=ray", "--watch"], "--watch needs --engine=local; leave one"),
    "workers beside Ray": (["a", "b", "--engine=ray", "--workers=1"], "--workers needs --engine=local"),
    "actors without Ray": (["a", "b", "--actors=2"], "--actors needs --engine=ray; give both"),
    "no weight": (["a", "b", "--smoothing=0"], "--smoothing=0.0: give more than 0 and at most 1"),
    "no batch": (["a", "b", "--batch_size=0"], "flag --batch_size=0: 0 is not a positive integer"),
}  # fmt: skip


@pytest.mark.parametrize("case", FIT)
def test_what_fit_refuses(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    refuses("fit", *FIT[case], capsys)


@pytest.mark.parametrize("case", PREDICT)
def test_what_predict_refuses(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    refuses("predict", *PREDICT[case], capsys)


def refuses(experiment: str, flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(capsys, experiment, *flags)
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {told}")
    assert not Path("o").exists()
