"""Tests that each flag of the command reaches the run."""

import json
import subprocess
import sys

EVERY_FLAG = {
    "out": "new/run",
    "steps": 3,
    "save_every": 2,
    "workers": 1,
    "schedule_steps": 9,
    "pairs": 4,
    "pool": 8,
    "learning_rate": 0.25,
    "muon_learning_rate": 0.5,
    "seed": 7,
    "dtype": "bfloat16",
    "leave_out": "window,pair",
    "image_size": 96,
    "start": "weights/tiny",
    "second_normal_image": True,
    "logit_scale": 50.0,
    "even_odds_distance": 0.5,
    "invented_share": 0.25,
    "teacher": "efficientnet-lite0",
    "photographs": "here,there",
    "held_out": "elsewhere",
    "crops": 16,
    "crops_per_pair": 3,
    "rendered_crops": 0.75,
}
# The replacement of the run prints its arguments.
RECORD = """
import dataclasses, json
from experiments import pretrain
from vlmad_jax.commands import common
def record(config, out, steps, save_every, workers):
    seen = {"out": str(out), "steps": steps, "save_every": save_every, "workers": workers}
    print(json.dumps(dataclasses.asdict(config) | seen))
class Run:
    def draw(self, workers):
        print(f"drawn by {workers} workers")
pretrain.pretrain = record
pretrain.start_run = lambda config, out: Run()
common.main(pretrain.run)
"""


def test_every_flag_is_read():
    flags = [f"--{name}={value}" for name, value in EVERY_FLAG.items()]
    done = subprocess.run([sys.executable, "-c", RECORD, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    seen = json.loads(first)
    lists = {name: EVERY_FLAG[name].split(",") for name in ("leave_out", "photographs", "held_out")}
    assert {name: seen[name] for name in EVERY_FLAG} == EVERY_FLAG | lists
    assert "new/run/weights" in last
    assert "new/run/losses.png" in last


def test_images_alone_can_be_drawn():
    done = subprocess.run(
        [sys.executable, "-c", RECORD, "--draw", "--out=new/run"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    drawn, last = done.stdout.splitlines()
    assert drawn == "drawn by 2 workers"
    assert last == "the images are in new/run; train on them by the same command without --draw"
