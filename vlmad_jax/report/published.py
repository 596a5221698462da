"""Published results of other authors, from published.json, to print beside our own."""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypedDict

from vlmad_jax.metrics import Metrics

# Names of the methods in the sources: zero-shot, few-shot (without the number of shots), comparison paper.
_NAMES: dict[str, tuple[str, str, str]] = {
    "winclip": ("WinCLIP", "WinCLIP+", "winclip"),
    "anomalyclip": ("AnomalyCLIP", "AnomalyCLIP", "anomalyclip"),
    "aprilgan": ("APRIL-GAN", "APRIL-GAN", "aprilgan"),
    "coop": ("CoOp", "CoOp", "coop"),
    "anomalydino": ("AnomalyDINO", "AnomalyDINO", "anomalydino"),
    "subspacead": ("SubspaceAD", "SubspaceAD", "subspacead"),
}
# Names of the batched methods.
_BATCHED = {"musc": "MuSc", "anomalydino": "AnomalyDINO", "subspacead": "SubspaceAD"}
_LITERATURE = ("mvtec_ad", "visa")
_MEAN_COLUMNS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")
_CATEGORY_COLUMNS = ("image_auroc", "pixel_auroc")


class Published(TypedDict):
    """The results of one source, fractions 0..1 by our metric names. Metrics it does not give are absent."""

    categories: dict[str, Metrics]
    mean: Metrics
    source: str


def published(method: str, dataset: str, shots: int | Literal["all", "batched"] = 0) -> list[Published]:
    """Return the published results of a method on a data set.

    `shots` is the number of reference images, 0 for zero-shot, or "batched" for the method's batched setting.

    The results of the method's own paper (means only) come first, followed by those of the comparison paper
    (means, and two metrics per category). The list is empty if nothing was published.

    >>> [entry["mean"]["image_auroc"] for entry in published("winclip", "mvtec_ad")]
    [0.918, 0.612]
    """
    everything = _read()
    if shots == "batched" and method in _BATCHED:
        return _from_literature(everything, dataset, "batched", _BATCHED[method])
    if shots == "batched" or method not in _NAMES:
        return []
    zero_shot, few_shot, compared = _NAMES[method]
    setting, name = ("few_shot", f"{few_shot} {shots}") if shots else ("zero_shot", zero_shot)
    found = _from_literature(everything, dataset, setting, name)

    paper = everything["comparison_paper"]
    if dataset == "mvtec_ad" and shots == 0 and f"{compared}_zero_shot" in paper:
        categories = {
            category: dict(zip(_CATEGORY_COLUMNS, pair, strict=True))
            for category, pair in paper[f"{compared}_zero_shot"].items()
        }
        found.append(Published(categories=categories, mean=paper[f"{compared}_mean"], source=paper["source"]))
    return found


def _from_literature(everything: dict[str, Any], dataset: str, setting: str, name: str) -> list[Published]:
    """Return the means of a method's own paper; none if it has none on the data set."""
    percent = everything[dataset][setting].get(name) if dataset in _LITERATURE else None
    if percent is None:
        return []
    columns = zip(_MEAN_COLUMNS, percent, strict=True)
    mean = {metric: round(value / 100, 4) for metric, value in columns if value is not None}
    return [Published(categories={}, mean=mean, source=f"{name}, as published in the literature")]


def comparison() -> dict[str, Any]:
    """Return the results of the comparison paper on MVTec AD, as published.json holds them."""
    return _read()["comparison_paper"]


def published_defects() -> dict[str, list[str]]:
    """Return the names of the 73 defect folders of MVTec AD by category."""
    return _read()["mvtec_ad_defects"]


@cache
def _read() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("published.json").read_text("utf-8"))
