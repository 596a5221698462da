"""The seven metrics of anomaly detection: three for images, four for pixels.

>>> metrics = evaluate(scores=[0.1, 0.7, 0.4, 0.9], labels=[0, 0, 1, 1])
>>> metrics["image_auroc"], metrics["image_f1_max"], metrics["pixel_auroc"]
(0.75, 0.8, None)
"""

import numpy as np
from numpy.typing import ArrayLike

from vlmad_jax.errors import InputError
from vlmad_jax.metrics.ranking import auroc, average_precision, f1_max, rank
from vlmad_jax.metrics.regions import aupro, label_regions

METRIC_NAMES = (
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "pixel_auroc",
    "pixel_ap",
    "pixel_f1_max",
    "pixel_aupro",
)

Metrics = dict[str, float | None]

__all__ = ["METRIC_NAMES", "Metrics", "evaluate"]


def evaluate(
    scores: ArrayLike, labels: ArrayLike, maps: ArrayLike | None = None, masks: ArrayLike | None = None
) -> Metrics:
    """Compute the metrics of `METRIC_NAMES`.

    Every distinct score is a threshold. Scores are compared without rounding.

    Args:
      scores: Image scores (N,), finite; higher is more anomalous.
      labels: Labels (N,): 0 is normal, 1 is anomalous.
      maps: Anomaly maps (N, S, S), finite; higher is more anomalous.
      masks: Masks (N, S, S), anomalous where nonzero.

    Returns:
      The metrics by name in the order of `METRIC_NAMES`, fractions in 0..1. The image metrics are None unless
      both classes occur; the pixel metrics are None unless maps, masks and pixels of both classes are given.

    Raises:
      InputError: Shapes do not agree, a label is not 0 or 1, or a score is not finite.
    """
    scores, labels = _finite("scores", scores, dims=1), _labels(labels)
    _same_shape("labels", labels.shape, "scores", scores.shape)
    by_image = rank(scores, labels)
    metrics: Metrics = dict.fromkeys(METRIC_NAMES)
    metrics |= {
        "image_auroc": auroc(by_image),
        "image_ap": average_precision(by_image),
        "image_f1_max": f1_max(by_image),
    }

    maps = None if maps is None else _finite("maps", maps, dims=3)
    masks = None if masks is None else _finite("masks", masks, dims=3)
    for name, array in (("maps", maps), ("masks", masks)):
        if array is not None:
            _same_shape(name, array.shape[:1], "scores", scores.shape)
    if maps is None or masks is None:
        return metrics

    _same_shape("masks", masks.shape, "maps", maps.shape)
    by_pixel = rank(maps.ravel(), label_regions(masks).ravel())
    return metrics | {
        "pixel_auroc": auroc(by_pixel),
        "pixel_ap": average_precision(by_pixel),
        "pixel_f1_max": f1_max(by_pixel),
        "pixel_aupro": aupro(by_pixel),
    }


def _real(name: str, values: ArrayLike, dims: int) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name}: rows differ in length; give one array with {dims} dimension(s)") from error
    if array.ndim != dims:
        raise InputError(f"{name}: shape {array.shape}; give an array with {dims} dimension(s)")
    if not np.can_cast(array.dtype, np.longdouble):
        raise InputError(f"{name}: values of type {array.dtype}; give real numbers")
    return array


def _finite(name: str, values: ArrayLike, dims: int) -> np.ndarray:
    array = _real(name, values, dims)
    finite = np.isfinite(array)
    if not finite.all():
        first = int(np.argmin(finite.reshape(len(array), -1).all(axis=1)))
        count = array.size - np.count_nonzero(finite)
        raise InputError(
            f"{name}: {count} value(s) are NaN or infinite, the first in image {first}; "
            "remove these images, or fix the method that scored them"
        )
    return array


def _labels(values: ArrayLike) -> np.ndarray:
    array = _real("labels", values, dims=1)
    if not np.isin(array, (0, 1)).all():
        wrong = array[~np.isin(array, (0, 1))][0]
        raise InputError(f"labels: found {wrong}; give 0 for normal and 1 for anomalous")
    return array.astype(np.uint32)


def _same_shape(name: str, shape: tuple[int, ...], other: str, expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise InputError(f"{name}: shape {shape}, but {other} has shape {expected}; give one entry for each")
