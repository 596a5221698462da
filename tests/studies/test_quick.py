"""A quick report has few images and says so."""

import json
from pathlib import Path

import pytest

from vlmad_jax.data import DataSet, Sample
from vlmad_jax.studies import quick
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.quick import shortened
from vlmad_jax.studies.report import report


def test_the_images_are_evenly_spaced_over_defects() -> None:
    def named(split: str, defect: str, count: int) -> list[Sample]:
        return [Sample(f"/d/a/{split}/{defect}/{n:03}.png", "a", split, defect) for n in range(count)]

    samples = [*named("test", "bent", 30), *named("test", "cut", 5), *named("test", "good", 3)]
    samples += named("train", "good", 20)
    found = shortened(DataSet("d", "/d", tuple(samples)))
    assert [x for x in found.samples if x.split == "train"] == named("train", "good", 20)
    assert list(found.samples) == [x for x in samples if x in set(found.samples)]
    test = found.select("a", "test")
    assert [x.defect for x in test] == ["bent"] * 7 + ["cut"] + ["good"] * 3
    assert [int(x.path[-7:-4]) for x in test if x.label] == [0, 5, 10, 15, 19, 24, 29, 4]


@pytest.mark.usefixtures("evaluating")
def test_the_report_says_what_it_leaves_out(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(quick, "IMAGES", 1)
    config = PaperConfig(
        str(weights), "folder", str(folder), shots=(1,), seeds=(3, 4), methods=("padim", "spade"), quick=True
    )
    assert config.seeds == (3,)
    report(config, tmp_path / "out", ("table1", "efficiency"))
    line = "left out: efficiency (a quick report trains nothing and measures no times)"
    assert line in capsys.readouterr().err.splitlines()
    page = (tmp_path / "out/report.html").read_text()
    assert "This is a quick report. Its test images are at most 1 normal and 1 anomalous ones" in page
    assert "2 categories, 4 test images" in page
    rows = json.loads((tmp_path / "out/metrics.json").read_text())["tables"]["table1"]["rows"]
    assert {row["image_auroc"] for row in rows} <= {0.0, 0.5, 1.0}
