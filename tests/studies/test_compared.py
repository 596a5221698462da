"""Reports of other pairs of methods: the numbers of evaluations, and no word of what is not compared."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.golden import case
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.methods import MethodOptions
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.few_shot import published_aurocs
from vlmad_jax.studies.report import report

pytestmark = pytest.mark.usefixtures("evaluating")

OPTIONS = MethodOptions(random_rotations=1)
METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")


def configured(weights: Path | str, folder: Path, *methods: str, **values: Any) -> PaperConfig:
    return PaperConfig(
        str(weights), "folder", str(folder), **{"shots": (1, 2), "seeds": (3,), **values}, methods=methods
    )


def reported(config: PaperConfig, out: Path, names: Sequence[str]) -> tuple[dict[str, Any], str]:
    """The numbers of a report, and its page."""
    report(config, out, names)
    return json.loads((out / "metrics.json").read_text()), (out / "report.html").read_text()


def evaluated(config: PaperConfig, name: str, shots: int, out: Path) -> dict[str, Any]:
    """The same method, as `few_shot` and `zero_shot` evaluate it."""
    evaluation = EvaluationConfig(
        name,
        config.weights,
        "folder",
        config.data_dir,
        options=config.options_of(name),
        shots=shots,
        seed=config.seeds[0],
    )
    return evaluate(evaluation, out)


def check_table(table: dict[str, Any], contents: dict[str, Any]) -> None:
    rows = {row["category"].replace(" ", "_"): row for row in table["rows"]}
    for name, metrics in {**contents["categories"], "mean": contents["mean"]}.items():
        assert {key: rows[name][key] for key in METRICS} == {key: metrics[key] for key in METRICS}


def test_subspacead_in_the_place_of_anomalyclip(folder: Path, weights: Path, tmp_path: Path, capsys) -> None:
    config = configured(weights, folder, "winclip", "subspacead", options=OPTIONS)
    names = ["table1", "table3", "table4", "shots", "gains", "figure3", "prompts", "thresholds", "domains"]
    numbers, page = reported(config, tmp_path / "out", [*names, "reliability", "confidence"])
    tables, line = numbers["tables"], "left out: domains (neither WinCLIP nor SubspaceAD is trained"
    assert line in capsys.readouterr().err
    assert f"L{line[1:]}" in page
    assert "domains" not in tables
    assert "AnomalyCLIP" not in page
    assert "SubspaceAD needs reference images" in page
    assert "it has 2 references of each category, drawn with seed 3" in page

    check_table(tables["table1"], evaluated(config, "winclip", 0, tmp_path / "winclip"))
    check_table(tables["table3"], evaluated(config, "subspacead", 2, tmp_path / "subspacead"))
    one = evaluated(config, "subspacead", 1, tmp_path / "one")["mean"]
    assert tables["table3"]["title"] == "Table 3. SubspaceAD, 2 references, by category"
    assert tables["table1"]["title"] == "Table 1. WinCLIP, zero-shot, by category"
    means = {(row["method"], row["shots"]): row["image_auroc"] for row in tables["shots"]["rows"][-5:]}
    assert list(means) == [("WinCLIP", n) for n in (0, 1, 2)] + [("SubspaceAD", n) for n in (1, 2)]
    assert means["SubspaceAD", 1] == one["image_auroc"]
    assert means["SubspaceAD", 2] == tables["table3"]["rows"][-1]["image_auroc"]
    assert means["WinCLIP", 0] == tables["table1"]["rows"][-1]["image_auroc"]
    drawn = numbers["figures"]["figure3"]["data"]["mean"]
    assert drawn["SubspaceAD"] == {"shots": [1, 2], "mean": list(means.values())[3:]} | {
        "draws": [[x] for x in list(means.values())[3:]]
    }
    steps = [(row["method"], row["step"]) for row in tables["gains"]["rows"]]
    assert steps == [("WinCLIP", "0 to 1"), ("WinCLIP", "1 to 2"), ("SubspaceAD", "1 to 2")]
    difference = tables["differences"]["rows"][-1]["image_difference"]
    assert difference == pytest.approx(means["SubspaceAD", 2] - means["WinCLIP", 0])
    # Distances are not drawn as probabilities. Two of the five normal images are references.
    assert list(numbers["figures"]["reliability"]["data"]) == ["WinCLIP", "WinCLIP, 2 references"]
    normal = {row["method"]: row["normal"] for row in tables["thresholds"]["rows"] if row["normal"]}
    assert normal == {"WinCLIP": 5, "SubspaceAD, 2 references": 3, "WinCLIP, 2 references": 3}


def test_two_methods_on_weights_without_text(folder: Path, tmp_path: Path, capsys) -> None:
    weights = case("subspacead").directory
    config = configured(weights, folder, "subspacead", "patchcore", options=OPTIONS, shots=(2,))
    names = ["table1", "table3", "groups", "defects", "figure5", "windows", "shots", "gains", "reliability"]
    numbers, page = reported(config, tmp_path / "out", [*names, "scores", "worst"])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert lines == [
        "left out: gains (no method runs with two numbers of reference images)",
        "left out: figure5, windows (WinCLIP, whose parts they vary, is not compared)",
        "left out: reliability (neither SubspaceAD nor PatchCore gives image scores that are probabilities)",
    ]
    assert all(f"L{line[1:]}." in page for line in lines)
    assert list(numbers["figures"]) == ["scores_subspacead", "scores_patchcore"]
    text = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    assert re.findall("WinCLIP", text) == ["WinCLIP"]  # in the line above
    assert not re.findall("AnomalyCLIP|zero-shot", text)
    check_table(numbers["tables"]["table1"], evaluated(config, "subspacead", 2, tmp_path / "subspacead"))
    check_table(numbers["tables"]["table3"], evaluated(config, "patchcore", 2, tmp_path / "patchcore"))
    assert {row["method"] for row in numbers["tables"]["groups"]["rows"]} == {
        "SubspaceAD, 2 references",
        "PatchCore, 2 references",
    }
    assert {"subspacead_auroc", "patchcore_auroc"} <= numbers["tables"]["defects"]["rows"][0].keys()
    with pytest.raises(InputError, match="--only=figure5: left out: figure5 .WinCLIP, whose parts they vary"):
        report(config, tmp_path / "out", ["figure5"])
    changed = configured(
        weights, folder, "subspacead", "patchcore", options=MethodOptions(random_rotations=2)
    )
    with pytest.raises(InputError, match="random_rotations"):
        report(changed, tmp_path / "out", ["table1"])


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
