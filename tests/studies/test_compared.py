"""Reports of other pairs of methods: the numbers of evaluations, and no word of what is not compared."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.golden import case
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.methods import MethodOptions
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.few_shot import published_aurocs
from vlmad_jax.studies.report import report

pytestmark = pytest.mark.usefixtures("evaluating")

OPTIONS = MethodOptions(explained_variance=0.9)
METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")


@pytest.fixture
def without_text(tmp_path: Path) -> Path:
    """The weights of a DINOv2 of one layer: 70 pixels, a grid of 5 x 5."""
    source, cut = case("anomalydino").directory, tmp_path / "dinov2"
    cut.mkdir()
    config = json.loads((source / "config.json").read_text())
    (cut / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    tensors = read_tensors(source).items()
    first = {name: tensor for name, tensor in tensors if not re.search(r"layer\.[1-9]", name)}
    write_safetensors(cut / "model.safetensors", first)
    return cut


def configured(weights: Path | str, folder: Path, *methods: str, **values: Any) -> PaperConfig:
    values = {"shots": (1, 2), "seeds": (3,), "options": OPTIONS, "categories": ("bottle",), **values}
    return PaperConfig(str(weights), "folder", str(folder), **values, methods=methods)


def reported(config: PaperConfig, out: Path, *names: str) -> tuple[dict[str, Any], str]:
    """The numbers of a report, and its page."""
    report(config, out, names)
    return json.loads((out / "metrics.json").read_text()), (out / "report.html").read_text()


def evaluated(config: PaperConfig, name: str, shots: int, out: Path) -> dict[str, float]:
    """The mean metrics of the same method, as `few_shot` and `zero_shot` evaluate it."""
    shared = {"data_dir": config.data_dir, "categories": config.categories, "seed": config.seeds[0]}
    options = config.options_of(name)
    evaluation = EvaluationConfig(name, config.weights, "folder", **shared, options=options, shots=shots)
    mean = evaluate(evaluation, out)["mean"]
    return {metric: mean[metric] for metric in METRICS}


def means_of(table: dict[str, Any]) -> dict[str, float]:
    return {metric: table["rows"][-1][metric] for metric in METRICS}


def test_subspacead_against_winclip(folder: Path, weights: Path, tmp_path: Path, capsys) -> None:
    options = dataclasses.replace(OPTIONS, window_sizes=(2,))
    config = configured(weights, folder, "winclip", "subspacead", shots=(2,), options=options)
    numbers, page = reported(config, tmp_path / "out", "table1", "table3", "confidence", "domains")
    line = "left out: domains (neither WinCLIP nor SubspaceAD is trained on other data sets)"
    assert line in capsys.readouterr().err.splitlines()
    assert f"L{line[1:]}." in page
    assert "SubspaceAD needs reference images" in page
    assert "it has 2 references of each category, drawn with seed 3." in page
    assert "AnomalyCLIP" not in page
    tables = numbers["tables"]
    assert {name: table["title"] for name, table in tables.items()} == {
        "table1": "Table 1. WinCLIP, zero-shot, by category",
        "table3": "Table 3. SubspaceAD, 2 references, by category",
        "differences": "SubspaceAD against WinCLIP",
    }
    winclip = means_of(tables["table1"])
    subspacead = evaluated(config, "subspacead", 2, tmp_path / "subspacead")
    assert means_of(tables["table3"]) == subspacead
    difference = tables["differences"]["rows"][-1]["pixel_difference"]
    assert difference == pytest.approx(subspacead["pixel_auroc"] - winclip["pixel_auroc"])


def test_two_methods_without_text(folder: Path, without_text: Path, tmp_path: Path, capsys) -> None:
    config = configured(without_text, folder, "subspacead", "patchcore")
    names = ["table1", "table3", "groups", "defects", "figure5", "windows", "shots", "gains", "figure3"]
    out = tmp_path / "out"
    numbers, page = reported(config, out, *names, "reliability", "scores", "gallery", "thresholds")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert lines == [
        "left out: figure5, windows (WinCLIP, whose parts they vary, is not compared)",
        "left out: reliability (neither SubspaceAD nor PatchCore gives image scores that are probabilities)",
    ]
    assert all(f"L{line[1:]}." in page for line in lines)
    tables, figures = numbers["tables"], numbers["figures"]
    assert list(figures) == ["figure3", "scores_subspacead", "scores_patchcore"]
    text = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    assert re.findall("WinCLIP|AnomalyCLIP|zero-shot", text) == ["WinCLIP"]  # in the line above

    patchcore = [evaluated(config, "patchcore", n, tmp_path / f"patchcore-{n}") for n in (1, 2)]
    assert means_of(tables["table3"]) == patchcore[1]
    plotted = figures["figure3"]["data"]["mean"]["PatchCore"]
    aurocs = [metrics["image_auroc"] for metrics in patchcore]
    assert plotted == {"shots": [1, 2], "mean": aurocs, "draws": [[x] for x in aurocs]}
    (gain,) = (row["pixel_gain"] for row in tables["gains"]["rows"] if row["method"] == "PatchCore")
    assert gain == pytest.approx(patchcore[1]["pixel_auroc"] - patchcore[0]["pixel_auroc"])
    means = [(row["method"], row["shots"], row["pixel_auroc"]) for row in tables["shots"]["rows"][-4:]]
    assert [row[:2] for row in means] == [(x, n) for x in ("SubspaceAD", "PatchCore") for n in (1, 2)]
    assert means[1][2] == means_of(tables["table1"])["pixel_auroc"]
    labels = ["SubspaceAD, 2 references", "PatchCore, 2 references"]
    assert [row["method"] for row in tables["groups"]["rows"]] == labels
    # Two of the five normal training images are references.
    assert [(row["method"], row["normal"]) for row in tables["thresholds"]["rows"][:2]] == [
        (label, 3) for label in labels
    ]
    assert {"subspacead_auroc", "patchcore_auroc"} <= tables["defects"]["rows"][0].keys()

    with pytest.raises(InputError, match=r"--only=figure5: left out: figure5 \(WinCLIP, whose parts"):
        report(config, out, ["figure5"])
    with pytest.raises(InputError, match="explained_variance"):
        report(dataclasses.replace(config, options=MethodOptions(explained_variance=0.8)), out, ["table1"])


def test_options_and_parameters_by_method() -> None:
    options = MethodOptions(window_sizes=(2,), feature_layers=(1,))
    config = PaperConfig(
        "w", "folder", options=options, methods=("hybrid", "patchcore"), params=(("hybrid", "there"),)
    )
    assert config.options_of("hybrid") == MethodOptions(
        window_sizes=(2,), feature_layers=(1,), params="there"
    )
    assert config.options_of("patchcore") == MethodOptions(feature_layers=(1,))


@pytest.mark.parametrize(
    ("name", "numbers", "image", "pixel"),
    [
        ("winclip", (0, 1), {0: 0.918, 1: 0.931}, {0: 0.851, 1: 0.952}),
        ("subspacead", (1, 2), {1: 0.971}, {1: 0.975}),
        ("patchcore", (1,), None, None),
    ],
)
def test_published_figures_belong_to_their_method(name: str, numbers: tuple[int, ...], image, pixel) -> None:
    config = SimpleNamespace(dataset="mvtec_ad")
    runs: Any = SimpleNamespace(name=name, numbers=numbers, runner=SimpleNamespace(config=config))
    assert published_aurocs(runs, "image").get("mean") == image
    assert published_aurocs(runs, "pixel").get("mean") == pixel
    tile = published_aurocs(runs, "image").get("tile")
    assert tile == ({0: 0.15, 4: 0.95} if name == "winclip" else None)
    config.dataset = "visa"
    assert published_aurocs(runs, "image") == {}
