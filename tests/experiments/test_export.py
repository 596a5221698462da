"""`python -m experiments.export` writes a detector as a program, or says in one line why not."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.experiments.command import Done, here
from vlmad_jax import load_detector
from vlmad_jax.inspection import FitConfig, exported_detector, fit
from vlmad_jax.methods import MethodOptions

LOADER = "exported_detector.py"


@pytest.fixture(scope="module")
def nut(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nut") / "nut.vlmad"
    fit(FitConfig("winclip", "nut", weights=str(weights), options=MethodOptions(window_sizes=(2,))), out)
    return out


class Exporting:
    """The command on a detector, writing to a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys, self.out = capsys, folder / "nut.stablehlo"

    def __call__(self, *arguments: str | Path) -> Done:
        return here(self.capsys, "export", *map(str, arguments), f"--out={self.out}")

    def refused(self, *arguments: str | Path) -> str:
        before = sorted(self.out.parent.iterdir())
        done = self(*arguments)
        assert (done.code, done.stdout) == (1, "")
        assert sorted(self.out.parent.iterdir()) == before
        (line,) = done.stderr.splitlines()
        return line


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Exporting:
    return Exporting(capsys, tmp_path)


def test_a_saved_detector_becomes_a_program(nut: Path, export: Exporting):
    done = export(nut, "--platforms=tpu,cpu")
    assert done.code == 0, done.stderr
    out = export.out
    assert done.stdout.splitlines() == [
        *(
            f"{file}: {file.stat().st_size:,} bytes"
            for file in (out, Path(f"{out}.json"), out.parent / LOADER)
        ),
        "runs on tpu, cpu",
    ]
    loaded, detector = exported_detector.load(out), load_detector(nut)
    assert loaded.threshold == detector.threshold
    assert loaded.about["platforms"] == ["tpu", "cpu"]
    told = f"error: --out={out}: {out} exists already; remove it, or give another name"
    assert export.refused(nut) == told


@pytest.mark.parametrize("given", ["cpu,gpu", "", "cpu,cpu"])
def test_platforms_that_are_not_are_refused(given: str, nut: Path, export: Exporting):
    told = f"error: --platforms={given}: give one or more of cpu,cuda,tpu, each once"
    assert export.refused(nut, f"--platforms={given}") == told


def test_what_is_no_saved_detector_is_refused(nut: Path, export: Exporting, tmp_path: Path):
    told = f"error: {tmp_path / 'bolt'}: no such detector; make one with experiments.fit"
    assert export.refused(tmp_path / "bolt") == told
    altered = Path(shutil.copytree(nut, tmp_path / "altered"))
    described = (altered / "detector.json").read_bytes()
    (altered / "detector.json").write_bytes(described.replace(b'"nut"', b'"NUT"'))
    assert "altered/detector.json: was altered (its checksum differs)" in export.refused(altered)


def test_another_file_of_the_loader_s_name_stays(nut: Path, export: Exporting):
    (export.out.parent / LOADER).write_text("mine")
    assert f"{LOADER} differs from the loader; remove it, or give another folder" in export.refused(nut)
    assert (export.out.parent / LOADER).read_text() == "mine"


def test_without_flatbuffers_it_says_how_to_get_it(
    nut: Path, export: Exporting, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    told = "error: exporting needs the package flatbuffers: pip install -e '.[export]'"
    assert export.refused(nut) == told


def test_no_name_to_write_to_is_refused(nut: Path, capsys: pytest.CaptureFixture[str]):
    done = here(capsys, "export", str(nut))
    assert (done.code, done.stderr) == (1, "error: --out is missing; for example --out=nut.stablehlo\n")
