"""The speed and values of the pixel metrics of one category, next to scikit-learn's and anomalib's.

The other libraries are called as their users call them: scikit-learn's `roc_auc_score`,
`average_precision_score` and `precision_recall_curve` on the pixels of all maps, and anomalib's `AUPRO` with
its defaults, with which every distinct score is a threshold, as in our implementation; its sums are float32.
Ours is one call of `metrics.evaluate`, which computes all metrics.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vlmad_jax import metrics
from vlmad_jax.benchmark.torch_peers import INSTALL, declare_vision_operators, import_torch
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.machine import describe

# The pixels of a map between two values of the coarse map, as with patches of 16 pixels.
PATCH = 16
# The largest difference of metrics that count as equal.
TOLERANCE = 1e-6

Results = dict[str, Any]
Metric = Callable[[np.ndarray, np.ndarray], float]


class Peer(NamedTuple):
    """A metric of maps (N, S, S) and masks (N, S, S) in another library."""

    library: str
    metric: Metric


def measure(images: int, sides: tuple[int, ...], rounds: int, seed: int) -> Results:
    """Time all metrics in turn at each side, with a progress bar.

    Args:
      images: The number of images, of which three quarters are anomalous.
      sides: The sides S of the maps in pixels.
      rounds: The number of times that every metric is computed.
      seed: The seed of the maps.

    Raises:
      InputError: Another library is not installed.
    """
    others = peers()
    for peer in others.values():  # warm-up: the first call loads modules
        peer.metric(*make_category(4, 4 * PATCH, seed))
    ours(*make_category(4, 4 * PATCH, seed))
    with tqdm(total=len(sides) * rounds * (1 + len(others)), unit=" calls", disable=None) as bar:
        sizes = [measure_size(make_category(images, side, seed), others, rounds, bar) for side in sides]
    return {"machine": describe(), "images": images, "rounds": rounds, "seed": seed, "sizes": sizes}


def measure_size(
    category: tuple[np.ndarray, np.ndarray], others: dict[str, Peer], rounds: int, bar: tqdm[Any]
) -> Results:
    """Return the times and values at one size."""
    calls: dict[str, Callable[..., Any]] = {"ours": ours, **{name: p.metric for name, p in others.items()}}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in calls}
    values: dict[str, Any] = {}
    for _ in range(rounds):
        for name, call in calls.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            values[name] = call(*category)
            cpu_seconds[name].append(time.process_time() - cpu_started)
            seconds[name].append(time.perf_counter() - started)
            bar.update()
    maps, masks = category
    return {
        "side": maps.shape[1],
        "pixels": maps.size,
        "anomalous": float(np.mean(masks != 0)),
        "ours": {"seconds": seconds["ours"], "cpu_seconds": cpu_seconds["ours"]},
        "peers": {
            name: {
                "library": peer.library,
                "seconds": seconds[name],
                "cpu_seconds": cpu_seconds[name],
                "value": values[name],
                "our_value": values["ours"][name],
            }
            for name, peer in others.items()
        },
    }


def ours(maps: np.ndarray, masks: np.ndarray) -> metrics.Metrics:
    """Return all metrics of a category, including image metrics."""
    return metrics.evaluate(maps.max(axis=(1, 2)), masks.any(axis=(1, 2)), maps, masks)


def make_category(images: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return smooth maps without ties, float32 (N, S, S), and masks of ellipses, uint8."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:side, :side]
    maps, masks = np.empty((images, side, side), np.float32), np.zeros((images, side, side), np.uint8)
    for number in range(images):
        for _ in range(rng.integers(1, 4) if 4 * number >= images else 0):
            row, column = rng.uniform(0, side, 2)
            height, width = rng.uniform(0.02, 0.12, 2) * side
            masks[number] |= ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1
        covered = ndimage.uniform_filter(masks[number].astype(np.float32), PATCH)[::PATCH, ::PATCH]
        coarse = rng.uniform(0.5, 3) * covered + rng.standard_normal(covered.shape, np.float32)
        maps[number] = ndimage.zoom(coarse, side / len(coarse), order=1)
    return maps, masks


def peers() -> dict[str, Peer]:
    """Return the metrics of other libraries by our names.

    Raises:
      InputError: A library is not installed.
    """
    try:
        from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

        anomalib_aupro = load_anomalib_aupro()
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; {INSTALL}") from error

    def f1(maps: np.ndarray, masks: np.ndarray) -> float:
        precision, recall, _ = precision_recall_curve(masks.ravel(), maps.ravel())
        return float(np.max(2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)))

    return {
        "pixel_auroc": Peer("scikit-learn", lambda x, y: float(roc_auc_score(y.ravel(), x.ravel()))),
        "pixel_ap": Peer("scikit-learn", lambda x, y: float(average_precision_score(y.ravel(), x.ravel()))),
        "pixel_f1_max": Peer("scikit-learn", f1),
        "pixel_aupro": Peer("anomalib", anomalib_aupro),
    }


def load_anomalib_aupro() -> Metric:
    """Return AUPRO of anomalib as a function."""
    torch = import_torch()
    declare_vision_operators()
    from anomalib.metrics import AUPRO

    def aupro(maps: np.ndarray, masks: np.ndarray) -> float:
        metric = AUPRO(fields=("anomaly_map", "gt_mask"))
        batch = {"anomaly_map": torch.from_numpy(maps), "gt_mask": torch.from_numpy(masks)}
        metric.update(SimpleNamespace(**batch))
        return float(metric.compute())

    return aupro


def table(results: Results) -> str:
    """Return the results of `measure` as text, with medians over rounds."""
    machine = results["machine"]
    lines = [f"{machine['cpu']}, {machine['cores']} cores; {results['rounds']} rounds, medians"]
    for size in results["sizes"]:
        side, ours_seconds = size["side"], statistics.median(size["ours"]["seconds"])
        ours_cpu = statistics.median(size["ours"]["cpu_seconds"])
        lines += [
            "",
            f"{results['images']} maps of {side} x {side}, {size['anomalous']:.1%} of the pixels anomalous",
            f"{'':14}{'':14}{'seconds':>10}{'of CPU':>10}{'value':>12}{'difference':>14}",
        ]
        total = total_cpu = 0.0
        for name, peer in size["peers"].items():
            seconds, cpu = statistics.median(peer["seconds"]), statistics.median(peer["cpu_seconds"])
            total, total_cpu = total + seconds, total_cpu + cpu
            lines.append(
                f"{name:14}{peer['library']:14}{seconds:10.3f}{cpu:10.3f}{peer['value']:12.7f}"
                f"{peer['our_value'] - peer['value']:14.1e}"
            )
        lines += [
            f"{'all four':14}{'others':14}{total:10.3f}{total_cpu:10.3f}",
            f"{'all seven':14}{'vlmad_jax':14}{ours_seconds:10.3f}{ours_cpu:10.3f}",
            f"the others take {total / ours_seconds:.1f} times as long and {total_cpu / ours_cpu:.1f} times "
            f"the CPU; values {'are' if is_equal(size) else 'ARE NOT'} equal to {TOLERANCE:.0e}",
        ]
    return "\n".join(lines)


def is_equal(size: Results) -> bool:
    """Return whether all metrics at one size differ by at most `TOLERANCE`."""
    return all(abs(peer["our_value"] - peer["value"]) <= TOLERANCE for peer in size["peers"].values())
