"""Tables for a terminal, character by character, and means over defined metrics."""

import pytest

from vlmad_jax.metrics import METRIC_NAMES
from vlmad_jax.report import mean_of, metrics_table, published


def made_metrics(first, pixel=True):
    return {name: first + n / 100 if pixel or n < 3 else None for n, name in enumerate(METRIC_NAMES)}


def test_mean_is_over_the_categories_where_a_metric_is_defined():
    mean = mean_of({"a": made_metrics(0.5), "b": made_metrics(0.7, pixel=False)})
    assert list(mean) == list(METRIC_NAMES)
    assert mean["image_ap"] == pytest.approx(0.61)
    assert mean["pixel_aupro"] == 0.56
    assert mean_of({}) == dict.fromkeys(METRIC_NAMES)


def test_a_table_without_published_figures():
    results = {"cup": made_metrics(0.9), "gear": made_metrics(0.1, pixel=False)}
    assert metrics_table(results, mean_of(results)).splitlines() == [
        "                              image                      pixel",
        "category          AUROC    AP F1max    AUROC    AP F1max AUPRO",
        "--------------------------------------------------------------",
        "cup               0.900 0.910 0.920    0.930 0.940 0.950 0.960",
        "gear              0.100 0.110 0.120        -     -     -     -",
        "--------------------------------------------------------------",
        "mean              0.500 0.510 0.520    0.930 0.940 0.950 0.960",
    ]


def test_a_table_with_published_figures():
    sources = published("winclip", "mvtec_ad")
    results = {"tile": made_metrics(0.9), "mean": made_metrics(0.5)}  # one category badly named
    assert metrics_table(results, made_metrics(0.7), sources).splitlines() == [
        "                              image                      pixel   [2] image/pixel",
        "category          AUROC    AP F1max    AUROC    AP F1max AUPRO    AUROC AUROC",
        "-----------------------------------------------------------------------------",
        "tile              0.900 0.910 0.920    0.930 0.940 0.950 0.960    0.149 0.739",
        "mean              0.500 0.510 0.520    0.530 0.540 0.550 0.560        -     -",
        "-----------------------------------------------------------------------------",
        "mean              0.700 0.710 0.720    0.730 0.740 0.750 0.760    0.612 0.726",
        "published [1]     0.918 0.965     -    0.851     -     - 0.646",
        "published [2]     0.612 0.806     -    0.726     -     - 0.679",
        "",
        "Published means are over every category of the data set.",
        "[1] WinCLIP, as published in the literature",
        "[2] Kakda et al., arXiv 2601.13440, tables 1 to 6 (MVTec AD, 1,725 test images)",
    ]


def test_long_names_and_two_sources_fit_the_terminal():
    sources = published("anomalyclip", "mvtec_ad")
    results = {"a category with a remarkably long name": made_metrics(0.9)}
    lines = metrics_table(results, mean_of(results), sources).splitlines()
    assert lines[3].startswith("a category with a remarka...    ")
    assert max(map(len, lines)) <= 110
