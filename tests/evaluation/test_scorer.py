"""Scoring on several devices, and by several processes, gives what one gives, each doing its share."""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.experiments.command import here, with_devices
from tests.golden import case, shallow_clip
from tests.methods.detectors import IMAGES, REFERENCES, shallow_winclip
from vlmad_jax.benchmark import matmul_flop
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.methods import SPADE, AnomalyCLIP

DEVICES = 8
NAMES = ("winclip", "anomalyclip", "spade")


def scored(name: str) -> tuple[np.ndarray, np.ndarray, int, int, int]:
    """Image scores and maps of eleven images, by all devices.

    Also how many images these fill up to, the work of a device, and that of one device for two images.
    """
    if name == "anomalyclip":
        detector = AnomalyCLIP.for_backbone(shallow_clip("anomalyclip", 2))
        images = case("anomalyclip").arrays["images_uint8"]
        state = detector.prepare(params=detector.init(jax.random.key(0)))
    elif name == "spade":
        detector, images = SPADE.for_backbone(shallow_clip("winclip", 2)), IMAGES
        state = detector.prepare("bottle", REFERENCES)
    else:
        detector, images = shallow_winclip((2,)), IMAGES
        state = detector.prepare("bottle", REFERENCES)
    devices = Scorer(detector, 11)
    count = devices.batch_size
    side, _ = detector.size
    padded = np.resize(images[:, :side, :side], (11, side, side, 3))
    padded = np.concatenate([padded, np.zeros((count - 11, side, side, 3), np.uint8)])
    placed, copied = devices.put(padded), devices.copy(state)
    scores = devices.score(copied, placed)
    work = matmul_flop(devices.score, copied, placed)
    alone = matmul_flop(detector.score, state, padded[:2])
    return np.asarray(scores.image)[:11], np.asarray(scores.map)[:11], count, work, alone


def run_on_devices(*arguments: str) -> None:
    """Runs Python in a process with virtual devices."""
    done = subprocess.run(
        [sys.executable, *arguments], env=with_devices(DEVICES), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def on_devices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """`scored` of each detector in a process with eight devices."""
    file = tmp_path_factory.mktemp("devices") / "scores.npz"
    script = f"""
import jax, numpy as np
from tests.evaluation import test_scorer as tests
assert jax.local_device_count() == {DEVICES}
parts = ("image", "map", "count", "work", "alone")
found = {{name: dict(zip(parts, tests.scored(name))) for name in tests.NAMES}}
named = {{f"{{name}} {{part}}": x for name, all in found.items() for part, x in all.items()}}
np.savez({str(file)!r}, **named)
"""
    run_on_devices("-c", script)
    return dict(np.load(file))


@pytest.mark.parametrize("name", NAMES)
def test_devices_give_what_one_gives(name: str, on_devices: dict[str, np.ndarray]) -> None:
    image, maps, count, work, alone = scored(name)
    assert (count, on_devices[f"{name} count"]) == (11, 16)
    np.testing.assert_allclose(on_devices[f"{name} image"], image, atol=1e-6)
    np.testing.assert_allclose(on_devices[f"{name} map"], maps, atol=2e-6)
    # Each has two of sixteen images, and does what one device does for two: nearly two elevenths of all.
    assert on_devices[f"{name} work"] == alone == pytest.approx(work * 2 / 11, rel=0.05)


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "scores.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("evaluating")
@pytest.mark.long
def test_a_command_on_devices_and_in_parts(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--method=winclip", f"--weights={weights}", "--dataset=folder", f"--data_dir={folder}"]
    flags += ["--batch_size=3", "--window_sizes=2"]
    assert here(capsys, "zero_shot", *flags, f"--out={tmp_path / 'one'}").code == 0
    expected = rows(tmp_path / "one")
    run_on_devices("-m", "experiments.zero_shot", *flags, f"--out={tmp_path / 'devices'}")
    for row, other in zip(expected, rows(tmp_path / "devices"), strict=True):
        assert float(row.pop("score")) == pytest.approx(float(other.pop("score")), abs=1e-6)
        assert row == other

    def part(process: int, *more: str) -> tuple[int, str]:
        shared = [f"--out={tmp_path / 'shared'}", "--shards=2", f"--shard={process}", *more]
        done = here(capsys, "zero_shot", *flags, *shared)
        return done.code, done.stdout + done.stderr[-200:]

    code, said = part(1)
    assert code == 0
    assert "the last shard to finish writes" in said
    finished = sorted(path.name for path in (tmp_path / "shared/categories").iterdir())
    assert finished == ["metal_nut.csv", "metal_nut.json"]
    assert not (tmp_path / "shared/metrics.json").exists()
    assert part(0)[0] == 0
    for name in ("metrics.json", "scores.csv"):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()

    code, said = part(2)
    assert code == 1
    assert said.startswith("error: --shard=2 --shards=2: give both, ")
    code, said = part(0, "--noresume")
    assert code == 1
    assert said.endswith("--noresume would remove what the other shards write; remove --out beforehand\n")
