"""Tests of the command in other processes, since one process cannot define the flags of two commands."""

import json
import subprocess
import sys

EVERY_FLAG = {
    "method": "winclip",
    "arch": "vit-b-32",
    "batch_size": "3",
    "dtypes": "bfloat16",
    "window_sizes": "2,4",
    "window_stride": "2",
    "merge_tokens": "1",
    "multi_scale_sizes": "96,160",
    "shots": "5",
    "repeats": "7",
    "seconds": "8.5",
    "work": "score",
    "against": "anomalib",
    "choices": "true",
}
# The replacement of the measurement returns its arguments as results.
RECORD = """
from experiments import benchmark
from vlmad_jax.commands import common
def measure(setting, dtypes, repeats, seconds, against, choices):
    named = (setting.method, setting.arch, setting.config.vision.patch_size, setting.batch_size)
    windows = setting.options.chosen().values()
    flags = (*windows, setting.shots, setting.work, dtypes, repeats, seconds, against, choices)
    return {"seen": [*named, *flags]}
benchmark.benchmark.run, benchmark.benchmark.table = measure, str
common.main(benchmark.main)
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_every_flag_is_read(tmp_path):
    flags = [f"--{name}={value}" for name, value in EVERY_FLAG.items()]
    done = python("-c", RECORD, *flags, f"--out={tmp_path / 'new'}")
    assert done.returncode == 0, done.stderr
    seen = json.loads((tmp_path / "new" / "benchmark.json").read_text())["seen"]
    windows = [[2, 4], 2, 1, [96, 160]]
    run = ["score", ["bfloat16"], 7, 8.5, "anomalib", True]
    assert seen == ["winclip", "vit-b-32", 32, 3, *windows, 5, *run]
    assert done.stdout.startswith("{'seen'")


def test_unknown_architecture_is_one_line():
    done = python("-m", "experiments.benchmark", "--arch=vit-x")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: --arch=vit-x is not one of vit-b-32, vit-b-16, vit-b-16-plus-240, vit-l-14, vit-l-14-336, "
        "vit-h-14; give one of these"
    ]


def test_window_sizes_that_are_not_numbers():
    done = python("-m", "experiments.benchmark", "--window_sizes=2,three")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --window_sizes=2,three are not whole numbers; give")
