"""The wheel, in an empty environment and from an empty folder, does what a clone does."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.data.conftest import make_category
from tests.experiments.command import ROOT

pytestmark = pytest.mark.long
# What builds: as it stands, not with what lies around in the clone.
SOURCES = [
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "docs",
    "experiments",
    "tests",
    "vlmad_jax",
    "weights",
]
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"


class Installed(NamedTuple):
    """The folder of the environment's programs, the two archives, and an empty folder."""

    programs: Path
    wheel: Path
    sdist: Path
    empty: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        name, *arguments = command
        environment = {name: x for name, x in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment["VLMAD_JAX_CACHE"] = str(self.empty.parent / "cache")
        return subprocess.run(
            [str(self.programs / name), *arguments],
            cwd=self.empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    source, empty = folder / "source", folder / "empty"
    source.mkdir()
    empty.mkdir()
    for name in SOURCES:
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env/bin"
    subprocess.run([str(programs / "python"), "-m", "pip", "install", "-q", "setuptools>=77"], check=True)
    subprocess.run([str(programs / "python"), "-c", BUILD], cwd=source, check=True, capture_output=True)
    (wheel,), (sdist,) = (source / "dist").glob("*.whl"), (source / "dist").glob("*.tar.gz")
    install = ["-m", "pip", "install", "-q", "--no-deps", str(wheel)]
    subprocess.run([str(programs / "python"), *install], check=True)
    # What the package needs is that of the tests' own environment; a path file below another is not followed,
    # so that the clone, which is installed there, is not found.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path_file = folder / "env/lib" / version / "site-packages/reused.pth"
    path_file.write_text(sysconfig.get_paths()["purelib"] + "\n")
    return Installed(programs, wheel, sdist, empty)


def test_what_the_archives_hold(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"vlmad_jax"}
    for kind in ("weights", "experiments"):
        files = [
            path for path in (ROOT / kind).rglob("*") if path.is_file() and "__pycache__" not in str(path)
        ]
        expected = {f"vlmad_jax/{path.relative_to(ROOT).as_posix()}" for path in files}
        assert {name for name in names if name.startswith(f"vlmad_jax/{kind}/")} == expected
    assert {"vlmad_jax/py.typed", "vlmad_jax/studies/definitions.json"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    with tarfile.open(installed.sdist) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "CITATION.cff", "setup.py", "weights/tiny/model.safetensors"} <= held
    assert not [name for name in held if name.startswith("tests/")]


def test_commands_run_from_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    where = "import vlmad_jax; print(vlmad_jax.__file__, vlmad_jax.load_clip('tiny').name)"
    done = installed.run("python", "-c", where)
    assert done.stdout.split()[1:] == ["tiny"], done.stderr
    assert str(installed.programs.parent) in done.stdout
    done = installed.run("python", "-c", "import experiments")
    assert "No module named 'experiments'" in done.stderr
    done = installed.run("vlmad", "--help")
    assert "\n  zero_shot " in done.stdout, done.stderr
    assert installed.run("vlmad", "zero_shot", "--help").returncode == 0
    make_category(tmp_path / "products/bottle")
    flags = ["--method=winclip", "--dataset=folder", f"--data_dir={tmp_path / 'products'}", "--out=out"]
    done = installed.run("vlmad", "zero_shot", *flags, "--workers=1")
    assert done.returncode == 0, done.stderr
    found = json.loads((installed.empty / "out/metrics.json").read_text())
    assert found["mean"]["image_auroc"] is not None
    grid = ["--methods=winclip", "--shots=0", "--out=compared"]
    done = installed.run("python", "-m", "vlmad_jax", "compare", *flags[1:3], *grid)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((installed.empty / "compared/comparison.json").read_text())["rows"]
    assert row["image_auroc"] == found["mean"]["image_auroc"]
