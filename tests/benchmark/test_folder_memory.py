"""Tests of the measurement of memory by the number of predicted images."""

import csv
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.experiments.command import here
from vlmad_jax import InputError
from vlmad_jax.benchmark import folder_memory
from vlmad_jax.benchmark.folder_memory import Sample, follow, results, text

pytestmark = pytest.mark.usefixtures("evaluating")


@pytest.mark.long
def test_the_measurement_of_a_folder(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_memory, "INTERVAL", 0.005)
    monkeypatch.setattr(folder_memory, "NORMAL_IMAGES", 4)
    out = tmp_path / "out"
    flags = {"images": 60, "different": 8, "size": 32, "seed": 3, "weights": weights, "batch_size": 1}
    done = here(capsys, "benchmark_folder", *(f"--{name}={x}" for name, x in flags.items()), f"--out={out}")
    assert done.code == 0, done.stderr
    found = json.loads((out / "memory.json").read_text())
    assert found["config"] == {**flags, "weights": str(weights), "method": "padim", "detector": None}
    assert done.stdout == text(found) + "\n"
    lines = csv.DictReader((out / "memory.csv").read_text().splitlines())
    rows = [{name: float(value) for name, value in line.items()} for line in lines]
    counts = [row["images"] for row in rows]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert 30 < counts[-1] <= 60
    assert found["end_memory"] == rows[counts.index(counts[-1])]["memory"]
    assert found["peak_memory"] == max(row["memory"] for row in rows)
    assert 50e6 < found["warm_memory"] < 5e9  # Python, JAX and a small model
    with Image.open(out / "memory.png") as image:
        assert image.size == (1050, 600)


def test_the_files_are_links_to_a_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_memory, "FILES_PER_FOLDER", 10)
    normal, new = folder_memory.make_folders(tmp_path, 24, 8, 16, seed=0)
    names = sorted(new.rglob("*.png"))
    assert len(names) == 24
    assert [len(list(folder.iterdir())) for folder in sorted(new.iterdir())] == [10, 10, 4]
    assert len({name.stat().st_ino for name in names}) == len({name.read_bytes() for name in names}) == 8
    assert len(list(normal.rglob("*.png"))) == folder_memory.NORMAL_IMAGES


def test_the_results_follow_from_the_samples() -> None:
    loading = [Sample(0.5, 0, 10_000_000), Sample(1.0, 0, 90_000_000), Sample(2.0, 100, 70_000_000)]
    predicting = [Sample(2.0 + k, 100 + 1000 * k, 70_000_000 + 24_000 * k) for k in range(1, 6)]
    found = results(
        [*loading, *predicting, Sample(9.0, 5100, 50_000_000)], 5200
    )  # the last sample is of the shutdown
    assert found.pop("growth_per_image") == pytest.approx(24)
    assert found == {
        "images": 5200,
        "seconds": 7.0,
        "images_per_second": 1000.0,
        "warm_images": 1100,
        "warm_memory": 70_024_000,
        "end_memory": 70_120_000,
        "peak_memory": 90_000_000,
    }
    with pytest.raises(InputError, match=r"--images=100 .*too quickly.*give more"):
        results(loading, 100)


def test_the_error_of_a_command_is_reported(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "print('begun'); print('error: no room'); raise SystemExit(1)"]
    with pytest.raises(InputError, match=r"the measured command failed: error: no room$"):
        follow(failing, tmp_path / "scores.jsonl", 10)
