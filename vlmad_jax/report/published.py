"""Figures that others published, to print beside our own; they stand in published.json."""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypedDict

from vlmad_jax.metrics import Metrics

# Our names of the systems, and theirs: zero-shot, few-shot (the number of shots follows), comparison paper.
_NAMES: dict[str, tuple[str, str, str]] = {
    "winclip": ("WinCLIP", "WinCLIP+", "winclip"),
    "anomalyclip": ("AnomalyCLIP", "AnomalyCLIP", "anomalyclip"),
    "aprilgan": ("APRIL-GAN", "APRIL-GAN", "aprilgan"),
    "coop": ("CoOp", "CoOp", "coop"),
}
_LITERATURE = ("mvtec_ad", "visa")
_MEAN_COLUMNS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")
_CATEGORY_COLUMNS = ("image_auroc", "pixel_auroc")


class Published(TypedDict):
    """One source's figures, as fractions 0..1 under our metric names; a metric it does not give is absent."""

    categories: dict[str, Metrics]
    mean: Metrics
    source: str


def published(method: str, dataset: str, shots: int | Literal["all"] = 0) -> list[Published]:
    """What is published for `method` on `dataset` with `shots` good samples (0 is zero-shot).

    Returns the system's own figures first (a mean only), then those of the comparison paper (a mean, and two
    metrics a category); an empty list where neither has any.

    >>> [entry["mean"]["image_auroc"] for entry in published("winclip", "mvtec_ad")]
    [0.918, 0.612]
    """
    if method not in _NAMES:
        return []
    everything = _read()
    zero_shot, few_shot, compared = _NAMES[method]
    found: list[Published] = []

    setting, name = ("few_shot", f"{few_shot} {shots}") if shots else ("zero_shot", zero_shot)
    percent = everything[dataset][setting].get(name) if dataset in _LITERATURE else None
    if percent is not None:
        mean = {metric: round(value / 100, 4) for metric, value in zip(_MEAN_COLUMNS, percent, strict=True)}
        found.append(Published(categories={}, mean=mean, source=f"{name}, as published in the literature"))

    paper = everything["comparison_paper"]
    if dataset == "mvtec_ad" and shots == 0 and f"{compared}_zero_shot" in paper:
        categories = {
            category: dict(zip(_CATEGORY_COLUMNS, pair, strict=True))
            for category, pair in paper[f"{compared}_zero_shot"].items()
        }
        found.append(Published(categories=categories, mean=paper[f"{compared}_mean"], source=paper["source"]))
    return found


def comparison() -> dict[str, Any]:
    """All that the comparison paper gives of MVTec AD, as it stands in published.json."""
    return _read()["comparison_paper"]


def published_defects() -> dict[str, list[str]]:
    """The folders of defects of each category of MVTec AD, 73 in all."""
    return _read()["mvtec_ad_defects"]


@cache
def _read() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("published.json").read_text("utf-8"))
