"""Tests of the times and values of metrics next to other libraries'."""

import json
import sys

import pytest

from tests.experiments.command import here
from vlmad_jax.benchmark import metrics_speed
from vlmad_jax.benchmark.metrics_speed import make_category, ours


def test_maps_depend_on_the_seed_and_the_defects():
    maps, masks = make_category(8, 128, seed=3)
    assert maps.shape == masks.shape == (8, 128, 128)
    assert masks.any(axis=(1, 2)).tolist() == [False] * 2 + [True] * 6
    assert len(set(maps.ravel().tolist())) > 0.99 * maps.size
    assert maps[masks == 1].mean() > maps[masks == 0].mean() + 0.3
    assert (make_category(8, 128, seed=3)[0] == maps).all()
    assert (make_category(8, 128, seed=4)[0] != maps).any()


def test_a_missing_library_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    done = here(capsys, "benchmark_metrics", "--images=4")
    assert done.code == 1
    assert done.stderr == "error: sklearn.metrics is not installed; pip install -e '.[peers]'\n"


@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_a_run_compares_with_every_peer(monkeypatch, tmp_path, capsys, error):
    def aupro(maps, masks):
        return ours(maps, masks)["pixel_aupro"] + error

    monkeypatch.setattr(metrics_speed, "load_anomalib_aupro", lambda: aupro)
    flags = {"images": 4, "sides": "64,96", "rounds": 2, "seed": 5, "out": tmp_path / "new"}
    done = here(capsys, "benchmark_metrics", *(f"--{name}={value}" for name, value in flags.items()))
    assert done.code == 0, done.stderr
    results = json.loads((tmp_path / "new/metrics.json").read_text())
    assert (results["images"], results["rounds"], results["seed"]) == (4, 2, 5)
    assert [size["side"] for size in results["sizes"]] == [64, 96]
    for size in results["sizes"]:
        assert size["pixels"] == 4 * size["side"] ** 2
        assert len(size["ours"]["seconds"]) == len(size["peers"]["pixel_ap"]["cpu_seconds"]) == 2
        for name, peer in size["peers"].items():
            wrong = error if name == "pixel_aupro" else 0
            assert peer["our_value"] == pytest.approx(peer["value"] - wrong, abs=1e-12)
    assert done.stdout.count("values are equal to 1e-06") == (2 if error == 0 else 0)
    assert done.stdout.count("values ARE NOT equal") == (0 if error == 0 else 2)


def test_maps_that_are_too_small_are_refused(capsys):
    done = here(capsys, "benchmark_metrics", "--sides=32")
    assert done.code == 1
    assert done.stderr.startswith("error: --sides: ")
    assert "64 pixels" in done.stderr
