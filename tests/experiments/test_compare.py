"""compare as a command: a grid of evaluations, its table, and that nothing of it is done twice."""

import contextlib
import json
import os
import statistics
from pathlib import Path

import pytest

from tests.experiments.command import Done, here
from vlmad_jax import InputError
from vlmad_jax.commands.compared import all_methods, params_by_method
from vlmad_jax.evaluation import comparison
from vlmad_jax.evaluation.comparison import Grid
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.methods import MethodOptions
from vlmad_jax.report.table import comparison_table

pytestmark = pytest.mark.usefixtures("evaluating")


def grid(methods: tuple[str, ...], shots: tuple = (0, 2), seeds: tuple = (0, 1), **more) -> Grid:
    own, options = more.pop("own_options", {}), MethodOptions(**more)
    return Grid(methods, shots, seeds, own, EvaluationConfig("", "w", "folder", options=options))


@pytest.fixture
def compare(folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def run(*flags: str) -> Done:
        given = [f"--weights={weights}", "--dataset=folder", f"--data_dir={folder}", "--window_sizes=2"]
        return here(capsys, "compare", *given, f"--out={tmp_path / 'out'}", "--batch_size=5", *flags)

    return run


def test_cells_are_what_makes_sense():
    cells = grid(
        ("winclip", "anomalyclip"),
        (0, 2, "all"),
        window_sizes=(2,),
        window_stride=2,
        merge_tokens=1,
        multi_scale_sizes=(32,),
        own_options={"anomalyclip": MethodOptions(params="p")},
    ).cells
    assert list(cells) == [
        "winclip-0-shots-seed-0",
        "winclip-2-shots-seed-0",
        "winclip-2-shots-seed-1",
        "winclip-all-shots-seed-0",
        "anomalyclip-0-shots-seed-0",
    ]
    assert [cells[name].options.window_sizes for name in list(cells)[-2:]] == [(2,), None]
    assert [cells[name].options.window_stride for name in list(cells)[-2:]] == [2, None]
    assert [cells[name].options.merge_tokens for name in list(cells)[-2:]] == [1, None]
    assert [cells[name].options.multi_scale_sizes for name in list(cells)[-2:]] == [(32,), None]
    assert [cells[name].options.params for name in list(cells)[-2:]] == [None, "p"]


@pytest.fixture
def began(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Cells run in this process, which is quicker; the list fills with the folders of those that began."""
    folders: list[Path] = []

    @contextlib.contextmanager
    def in_this_process(build, *arguments):
        folders.extend([arguments[1]] if build is comparison.Cell else [])
        yield lambda name: getattr(build(*arguments), name)()

    monkeypatch.setattr(comparison, "in_process", in_this_process)
    return folders


def test_a_comparison_and_its_table(compare, folder: Path, tmp_path: Path, began: list[Path]):
    flags = ["--methods=winclip", "--shots=1", "--seeds=0,3"]
    done = compare(*flags)
    assert done.code == 0, done.stderr
    out = tmp_path / "out"
    results = json.loads((out / "comparison.json").read_text())
    assert list(results["cells"]) == [f"winclip-{cell}" for cell in ("1-shots-seed-0", "1-shots-seed-3")]
    assert not results["failed"]
    alone = json.loads((out / "winclip-1-shots-seed-3/metrics.json").read_text())
    assert results["cells"]["winclip-1-shots-seed-3"]["image_auroc"] == alone["mean"]["image_auroc"]
    both = [results["cells"][f"winclip-1-shots-seed-{seed}"] for seed in (0, 3)]
    (row,) = results["rows"]
    assert (row["method"], row["shots"], row["seeds"]) == ("winclip", 1, 2)
    for name in comparison.METRICS:
        values = [cell[name] for cell in both]
        assert row[name] == pytest.approx(statistics.mean(values))
        assert row[f"{name}_deviation"] == pytest.approx(statistics.stdev(values))
    assert 0 < row["image_seconds"] < 60
    assert 0 < row["prepare_seconds"] < 600
    assert row["peak_memory_bytes"] > 1e8
    table = (out / "comparison.md").read_text()
    assert table in done.stdout
    heading = [cell.strip() for cell in table.splitlines()[0].split("|")[1:-1]]
    assert heading[2:] == [
        "image AUROC",
        "image AP",
        "pixel AUROC",
        "AUPRO",
        "ms/image",
        "prepare s",
        "peak GB",
    ]

    # Started again it runs nothing; a cell that is missing is run alone.
    began.clear()
    os.unlink(out / "winclip-1-shots-seed-0/cell.json")
    again = compare(*flags)
    assert again.code == 0, again.stderr
    assert began == [out / "winclip-1-shots-seed-0"]
    assert json.loads((out / "comparison.json").read_text())["rows"][0]["image_auroc"] == row["image_auroc"]

    # Where images changed, nothing is kept of them.
    began.clear()
    for number in range(2):
        os.rename(folder / f"bottle/test/scratch/00{number}.png", folder / f"{number}.png")
        os.rename(folder / f"bottle/test/good/00{number}.png", folder / f"bottle/test/scratch/00{number}.png")
        os.rename(folder / f"{number}.png", folder / f"bottle/test/good/00{number}.png")
    assert compare(*flags).code == 0
    assert began == [out / f"winclip-1-shots-seed-{seed}" for seed in (0, 3)]
    changed = json.loads((out / "comparison.json").read_text())["cells"]
    for name, before in results["cells"].items():
        assert [changed[name][x] for x in comparison.METRICS] != [before[x] for x in comparison.METRICS]


def test_a_cell_that_fails_is_named_and_the_others_go_on(compare, tmp_path: Path):
    done = compare("--methods=winclip", "--shots=99,0", "--seeds=0")
    assert done.code == 1
    assert "skipped: winclip-99-shots-seed-0: --shots=99: category 'bottle' has" in done.stdout
    assert done.stderr.splitlines()[-1] == "error: 1 of 2 evaluations failed; see the reasons above"
    rows = json.loads((tmp_path / "out/comparison.json").read_text())["rows"]
    assert rows[0]["image_auroc"] is None
    assert rows[1]["image_auroc"] is not None
    assert (tmp_path / "out/comparison.md").read_text().splitlines()[2].split("|")[3].strip() == "-"


def test_parameters_are_asked_for_before_anything_runs(compare, tmp_path: Path):
    done = compare("--methods=winclip,anomalyclip", "--shots=0")
    assert done.code == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: --params is missing: anomalyclip needs learned prompts"
    )
    assert not list((tmp_path / "out").glob("*/metrics.json"))


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--methods=winclip,winclap", "method 'winclap' is not one of winclip, "),
        ("--methods=winclip,winclip", "--methods=winclip,winclip: give one or more, each once"),
        ("--shots=two", "--shots=two is not a number of images; give for example 4, or all"),
        ("--seeds=-1", "--seeds=-1 are not whole numbers of 0 or more; give for example 0,1,2"),
        ("--params=coop", "--params=coop: give anomalyclip=PATH,"),
        ("--params=coop=a,coop=b", "--params=coop=a,coop=b: give anomalyclip=PATH,"),
        ("--methods=", "--methods=: give one or more"),
    ],
)
def test_bad_flags(compare, flag: str, message: str):
    done = compare(flag)
    assert done.code == 1
    assert message in done.stderr.splitlines()[-1]


WITHOUT_NETWORKS = (
    *(
        "winclip",
        "anomalyclip",
        "aprilgan",
        "coop",
        "mrad",
        "hybrid",
        "anomalydino",
        "subspacead",
        "patchcore",
    ),
    *("padim", "spade", "cutpaste"),
)


@pytest.mark.parametrize(
    ("weights", "params", "missing"),
    [
        ("weights/tiny", (), ("mrad",)),
        ("weights/tiny", ("mrad",), ()),
        ("elsewhere", ("coop",), ("anomalyclip", "aprilgan", "mrad", "hybrid")),
    ],
)
def test_methods_that_are_left_out_are_named(weights, params, missing, capsys):
    found = all_methods(weights, params)
    assert found == tuple(name for name in WITHOUT_NETWORKS if name not in missing)
    *lines, networks = capsys.readouterr().err.splitlines()
    assert lines == [f"left out: {', '.join(missing)} (no learned parameters in --params)"] * bool(missing)
    assert networks.startswith("left out: autoencoder, ganomaly, draem (they train networks")


def test_all_methods_that_can_run_are_compared(compare, tmp_path: Path, began: list[Path]):
    done = compare("--shots=0")
    assert done.code == 0, done.stderr
    assert [folder.name for folder in began] == ["winclip-0-shots-seed-0"]
    assert "left out: anomalyclip, aprilgan, coop, mrad, hybrid (no learned parameters" in done.stderr


@pytest.mark.parametrize(
    ("value", "methods", "expected"),
    [
        ("", ("winclip",), {}),
        ("p", ("winclip", "coop"), {"coop": "p"}),
        ("coop=p", ("winclip", "coop"), {"coop": "p"}),
        ("x=y/p", ("coop",), {"coop": "x=y/p"}),  # a path with a sign of equality
        ("coop=p,mrad=q", ("coop", "mrad", "musc"), {"coop": "p", "mrad": "q"}),
        ("p", ("anomalyclip", "hybrid"), {"anomalyclip": "p", "hybrid": "p"}),
        ("anomalyclip=p", ("anomalyclip", "coop", "hybrid"), {"anomalyclip": "p", "hybrid": "p"}),
        ("anomalyclip=p,hybrid=q", ("hybrid", "anomalyclip"), {"anomalyclip": "p", "hybrid": "q"}),
        ("hybrid=q", ("anomalyclip", "hybrid"), {"hybrid": "q"}),
        ("anomalyclip=p", ("hybrid", "coop"), {"hybrid": "p"}),
    ],
)
def test_params_by_method(value, methods, expected):
    assert params_by_method(value.split(",") if value else [], methods) == expected


@pytest.mark.parametrize(
    ("value", "methods", "message"),
    [
        ("p", ("winclip", "padim"), "--params is not an option of winclip or padim; remove it"),
        ("mrad=p", ("winclip", "coop"), "--params=mrad=p: give coop=PATH"),
        ("coop=p,coop=q", ("coop",), "--params=coop=p,coop=q: give coop=PATH"),
        ("coop=", ("coop", "mrad"), "--params=coop=: give coop=PATH,mrad=PATH or some of these"),
        ("p", ("anomalyclip", "coop"), "--params=p: give anomalyclip=PATH,coop=PATH or some of these"),
    ],
)
def test_params_of_no_method(value, methods, message):
    with pytest.raises(InputError) as raised:
        params_by_method(value.split(","), methods)
    assert str(raised.value) == message


def test_grids_that_run_nothing_or_too_much():
    with pytest.raises(InputError, match="--methods=anomalyclip with --shots=4: no method runs with"):
        grid(("anomalyclip",), (4,))
    with pytest.raises(InputError, match="--params: coop is not compared; add it to --methods"):
        grid(("winclip",), own_options={"coop": MethodOptions(params="p")})


def test_the_table_shows_what_is_undefined():
    figures = {"image_auroc": 0.5, "image_ap": None, "pixel_auroc": 0.25, "pixel_aupro": 1.0}
    deviations = {f"{name}_deviation": None for name in figures} | {"pixel_auroc_deviation": 0.0625}
    resources = {"image_seconds": 0.0123, "prepare_seconds": 2.0, "peak_memory_bytes": 1.5e9}
    row = {"method": "winclip", "shots": "all", **figures, **deviations, **resources}
    cells = [cell.strip() for cell in comparison_table([row]).splitlines()[2].split("|")[1:-1]]
    assert cells == ["winclip", "all", "0.500", "-", "0.250 ± 0.062", "1.000", "12.3", "2.0", "1.50"]
