"""Tests of the measurement of the data pipeline, and of its table."""

import json

import numpy as np
from PIL import Image

from tests.experiments.command import here
from vlmad_jax.benchmark.pipeline_speed import BATCH, FILES, make_images, table


def test_images_depend_on_the_seed_and_compress_like_photographs(tmp_path):
    first, *_ = samples = make_images(tmp_path, 128, "png", seed=0)
    assert len({sample.path for sample in samples}) == FILES
    pixels = np.asarray(Image.open(first.path))
    assert pixels.shape == (128, 128, 3)
    assert 0.3 < (tmp_path / "128-0.png").stat().st_size / pixels.nbytes < 0.7
    (again, *_) = make_images(tmp_path / ".", 128, "png", seed=0)
    np.testing.assert_array_equal(np.asarray(Image.open(again.path)), pixels)


def test_every_flag_is_read_and_every_image(tmp_path, capsys):
    flags = {"sides": "40,24", "formats": "png,jpg", "workers": 0, "size": 16, "seed": 3}
    flags |= {"images": 2 * BATCH, "out": tmp_path / "new"}
    done = here(capsys, "benchmark_pipeline", *(f"--{name}={value}" for name, value in flags.items()))
    assert done.code == 0, done.stderr
    results = json.loads((tmp_path / "new/pipeline.json").read_text())
    assert [results[name] for name in ("images", "size", "seed")] == [2 * BATCH, 16, 3]
    kinds = [(row["side"], row["format"], row["workers"]) for row in results["rows"]]
    assert kinds == [(40, "png", 0), (40, "jpg", 0), (24, "png", 0), (24, "jpg", 0)]
    for row in results["rows"]:
        assert row["images_per_second"] > 1
        assert row["cpu_seconds"] > 0
        assert row["digests_per_second"] > 1
    assert "extrapolated, not measured: 400/s of 40 pixels in png" in done.stdout


def test_the_extrapolation_to_more_cores():
    row = {"side": 900, "format": "png", "bytes": 1e6, "start_seconds": 0.5, "images_per_second": 70.0}
    row["digests_per_second"] = 3000.0
    results = {
        "machine": {"cpu": "some", "cores": 2},
        "images": 100,
        "size": 240,
        "rows": [{**row, "workers": 0, "cpu_seconds": 2.0}, {**row, "workers": 2, "cpu_seconds": None}],
    }
    *_, last = table(results).splitlines()
    assert last.endswith("in png take 8.0 cores; 16 cores give 800/s")
    assert table(results).count("extrapolated") == 1
    assert table(results).count("hashing files of 900 pixels in png: 3000/s") == 1


def test_bad_flags_are_refused(capsys):
    for flag, message in {
        "--formats=gif": "format 'gif' is not one of png, jpg; give one of these",
        "--sides=0": "--sides: give one or more, in pixels, for example 900,1024",
        "--workers=two": "--workers=two are not whole numbers of 0 or more; give for example 0,1,2",
    }.items():
        done = here(capsys, "benchmark_pipeline", flag)
        assert (done.code, done.stderr) == (1, f"error: {message}\n")
