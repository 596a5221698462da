"""The whole report on a folder in MVTec AD's layout: complete, repeatable, and one set of numbers."""

import contextlib
import csv
import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.data.conftest import make_category
from tests.studies.mvtec import make_mvtec
from vlmad_jax import load_clip
from vlmad_jax.evaluation import comparison
from vlmad_jax.methods import AnomalyCLIP, MethodOptions
from vlmad_jax.methods.learned import save_params
from vlmad_jax.report.parts import Section, Table
from vlmad_jax.scoring.prompts import PromptEnsemble
from vlmad_jax.studies import efficiency
from vlmad_jax.studies.config import Domain, PaperConfig
from vlmad_jax.studies.report import STUDIES, report

pytestmark = pytest.mark.usefixtures("evaluating")

OWN = PromptEnsemble(("clean {}",), ("dirty {}", "{} with dirt"), ("a photo of a {}.",))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Efficiency of two methods, measured in this process, and of one that takes too long."""

    @contextlib.contextmanager
    def in_this_process(build, *arguments):
        yield lambda name: getattr(build(*arguments), name)()

    monkeypatch.setattr(comparison, "in_process", in_this_process)
    able = ("winclip", "anomalyclip", "draem")
    monkeypatch.setattr(efficiency, "can_run", lambda runner, name: name in able)


@pytest.fixture
def config(tmp_path: Path, weights: Path) -> PaperConfig:
    root = tmp_path / "mvtec"
    make_mvtec(root)
    make_category(tmp_path / "others/cup")
    clip = load_clip(weights)
    detector = AnomalyCLIP.for_backbone(clip)
    save_params(tmp_path / "learned", detector.init(jax.random.key(0)), detector)
    return PaperConfig(
        str(weights),
        "mvtec_ad",
        str(root),
        options=MethodOptions(params=str(tmp_path / "learned")),
        shots=(1, 2),
        seeds=(0, 1),
        prompts=OWN,
        domains=(Domain("mvtec_ad", str(root)), Domain("folder", str(tmp_path / "others"))),
        epochs=1,
    )


def numbers_of(page: str) -> dict[str, list[dict[str, str]]]:
    """The rows of each table of a page: by column the number with all its digits, "" where undefined."""
    found = {}
    for name, body in re.findall(r'<table[^>]* id="([a-z0-9_]+)"[^>]*>(.*?)</table>', page, re.S):
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body.partition("</thead>")[2], re.S)
        cell = r'<t[dh][^>]*data-key="([^"]*)"[^>]*data-value="([^"]*)"'
        found[name] = [dict(re.findall(cell, row)) for row in rows]
    return found


@pytest.mark.long
def test_every_table_and_figure_of_mvtec_ad(config: PaperConfig, tmp_path: Path, quick: None) -> None:
    out = tmp_path / "out"
    check_texts(report(config, out))
    metrics = json.loads((out / "metrics.json").read_text())
    tables = metrics["tables"]
    check_parts(tables, metrics["figures"], out)
    check_comparison(tables)
    check_defects(tables)
    check_shots(metrics)
    check_variants(tables)
    check_page(metrics, (out / "report.html").read_text(), tmp_path)
    before = read_all(out)

    # The second time nothing is scored again, and every table has the same bytes.
    again = list((out / "runs").glob("*/categories/*.json"))
    changed = {path: path.stat().st_mtime_ns for path in again}
    drawn = ("figure3", "figure4", "figure5", "scores", "alarms", "reliability")
    report(config, out, [name for name in STUDIES if name not in drawn])
    assert {path: path.stat().st_mtime_ns for path in again} == changed
    assert len(again) > 400
    tables = {name for name in before if name.startswith("tables/")}
    assert {name: read_all(out)[name] for name in tables} == {name: before[name] for name in tables}

    # Scored afresh and alone, a table is the same.
    report(dataclasses.replace(config, shots=(1,)), tmp_path / "alone", ["table1", "table5"])
    names = ["tables/table1.csv", "tables/table1.md", "tables/table5.csv"]
    alone = read_all(tmp_path / "alone")
    assert {name: alone[name] for name in names} == {name: before[name] for name in names}
    assert list(json.loads((tmp_path / "alone/metrics.json").read_text())["tables"]) == ["table1", "table5"]


def read_all(out: Path) -> dict[str, bytes]:
    files = [*out.glob("tables/*"), *out.glob("figures/*"), out / "report.html"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def check_texts(sections: Sequence[Section]) -> None:
    for section in sections:
        for part in section.parts:
            texts = [section.text, section.title, part.title, part.note]
            if isinstance(part, Table):
                texts += [text for column in part.columns for text in (column.heading, column.group)]
                texts += [cell for row in part.rows for cell in row.values() if isinstance(cell, str)]
            unfilled = re.findall(r"\{\w[^}]*\}", "\n".join(texts))
            assert not unfilled, (part.name, unfilled)


def check_parts(tables: dict, figures: dict, out: Path) -> None:
    named = {"measured_efficiency", "differences"}
    made = {*tables, *figures, "gallery"} - named
    replaced = {"efficiency", "confidence", "scores", "alarms"}
    assert made - {f"{x}_{m}" for x in ("scores", "alarms") for m in ("winclip", "anomalyclip")} == (
        set(STUDIES) - replaced
    )
    for name in tables:
        with (out / f"tables/{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [{k: exact(x) for k, x in row.items()} for row in tables[name]["rows"]] == rows
    for name in figures:
        assert (out / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")


def exact(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def check_comparison(tables: dict) -> None:
    for name, mean, first in (("table1", 0.612, 0.892), ("table3", 0.916, 0.887)):
        rows = tables[name]["rows"]
        assert len(rows) == 16
        assert rows[0]["published_image_auroc"] == first
        assert (rows[-1]["category"], rows[-1]["published_image_auroc"]) == ("mean", mean)
        for metric in ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro"):
            assert all(0 <= row[metric] <= 1 for row in rows)
            assert rows[-1][metric] == pytest.approx(np.mean([row[metric] for row in rows[:-1]]))
        for row in rows:
            assert row["image_auroc_low"] <= row["image_auroc"] <= row["image_auroc_high"]
            assert row["pixel_auroc_low"] <= row["pixel_auroc"] <= row["pixel_auroc_high"]
    second = {row["metric"]: row for row in tables["table2"]["rows"]}
    assert second["image AUROC"]["ours"] == tables["table1"]["rows"][-1]["image_auroc"]
    assert (second["pixel AUPRO"]["published_1"], second["pixel AUPRO"]["published_2"]) == (0.646, 0.679)
    groups = {(row["group"], row["method"]): row for row in tables["groups"]["rows"]}
    assert [group for group, _ in groups][::2] == ["texture", "rigid", "flexible"]
    # What the comparison's text says of rigid objects is not the mean of its own table.
    rigid = groups["rigid", "AnomalyCLIP"]
    assert rigid["published_image"] == 0.870
    assert rigid["published_image_from_table"] == pytest.approx(0.8804, abs=1e-4)
    assert groups["texture", "WinCLIP"]["published_pixel_from_table"] == pytest.approx(0.803)
    ours = [
        row["image_auroc"]
        for row in tables["table3"]["rows"]
        if row["category"] in ("cable", "transistor", "zipper")
    ]
    assert groups["flexible", "AnomalyCLIP"]["image_auroc"] == pytest.approx(np.mean(ours))


def check_defects(tables: dict) -> None:
    rows = tables["defects"]["rows"]
    assert len(rows) == 73
    types = {row["name"]: row for row in tables["table6"]["rows"]}
    assert {name: row["compared_defects"] for name, row in types.items()} == {
        name: row["published_defects"] for name, row in types.items()
    }
    assert sum(row["all_defects"] for row in types.values()) == 73
    assert types["missing component"]["published"] == 0.757
    levels = {row["name"]: row for row in tables["table5"]["rows"]}
    assert [row["published"] for row in levels.values()] == [0.768, 0.900, 0.939]
    assert sum(row["compared_defects"] for row in levels.values()) == 52
    assert sorted(row["all_defects"] for row in levels.values()) == [24, 24, 25]
    members = [row["anomalyclip_auroc"] for row in rows if row["level"] == "high"]
    assert levels["high"]["all_anomalyclip"] == pytest.approx(np.mean(members))


def check_shots(metrics: dict) -> None:
    rows = metrics["tables"]["shots"]["rows"]
    assert [(row["shots"], row["draws"]) for row in rows[-3:]] == [(0, 1), (1, 2), (2, 2)]
    assert rows[-3]["image_auroc"] == metrics["tables"]["table1"]["rows"][-1]["image_auroc"]
    gains = metrics["tables"]["gains"]["rows"]
    assert [row["published"] for row in gains] == [0.15, None]
    assert gains[0]["image_gain"] == pytest.approx(rows[-2]["image_auroc"] - rows[-3]["image_auroc"])
    assert gains[0]["pixel_over_draws"] == pytest.approx(rows[-2]["pixel_auroc_deviation"])
    figure = metrics["figures"]["figure3"]["data"]
    assert len(figure) == 16
    assert figure["mean"]["mean"] == [row["image_auroc"] for row in rows[-3:]]


def check_variants(tables: dict) -> None:
    sizes = {row["sizes"]: row for row in tables["windows"]["rows"]}
    assert list(sizes) == ["1", "2", "3", "4", "5", "6", "7", "2 and 3", "all"]
    assert sizes["1"]["published"] == 0.55
    counts = [(row["normal"], row["anomalous"]) for row in tables["prompts"]["rows"]]
    assert counts == [(1, 1), (7, 4), (21, 21), (147, 84), (147, 84), (1, 2)]
    aurocs = [row["image_auroc"] for row in tables["prompts"]["rows"]]
    assert len(set(aurocs)) == len(aurocs)
    features = tables["features"]["rows"]
    assert len({row["image_auroc"] for row in features}) == len(features) == 10
    # The class token alone is WinCLIP's image score, and has no map.
    assert features[0]["image_auroc"] == tables["table1"]["rows"][-1]["image_auroc"]
    assert features[0]["pixel_auroc"] is None
    measured = {row["method"]: row for row in tables["measured_efficiency"]["rows"]}
    assert list(measured) == ["winclip", "anomalyclip"]
    assert measured["anomalyclip"]["learned"] > 0 == measured["winclip"]["learned"]
    assert measured["anomalyclip"]["training_seconds"] > 0
    matrix = {row["learned"]: row for row in tables["domains"]["rows"]}
    assert matrix["mvtec_ad"]["mvtec_ad_image_auroc"] is None
    assert 0 <= matrix["folder"]["mvtec_ad_image_auroc"] <= 1
    assert matrix["none (WinCLIP)"]["mvtec_ad_image_auroc"] == tables["table1"]["rows"][-1]["image_auroc"]


def check_page(metrics: dict, page: str, home: Path) -> None:
    assert str(home) not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "Left out: draem, which train" in page
    shown = numbers_of(page)
    for name, table in metrics["tables"].items():
        for row, cells in zip(table["rows"], shown[name], strict=True):
            numbers = {key: x for key, x in row.items() if not isinstance(x, str)}
            assert {key: None if x == "" else float(x) for key, x in cells.items()} == numbers
    scores = [float(x) for x in re.findall(r'class="score">score <span data-value="([^"]*)"', page)]
    exhibits = metrics["galleries"]["gallery"]["exhibits"]
    assert len(exhibits) == 2 * sum(min(24, 2 + 2 * n) for n in (3, 8, 5, 5, 5, 4, 5, 4, 7, 5, 5, 1, 4, 5, 7))
    assert sorted(scores) == sorted(x["score"] for x in exhibits)
    assert not any(math.isnan(score) for score in scores)
