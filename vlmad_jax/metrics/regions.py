"""AUPRO: the area under the per-region overlap curve.

Source: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.2. The per-region overlap
at a threshold is the mean over true regions of the fraction of the region that scores at least the threshold.
The curve plots it against the false positive rate of all normal pixels, and is integrated up to a rate of
0.3.
"""

import numpy as np

from vlmad_jax.metrics.ranking import Ranking

FPR_LIMIT = 0.3

# Neighbours share a side or a corner within one image. Pixels of different images are never neighbours.
_EIGHT_NEIGHBOURS = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])


def label_regions(masks: np.ndarray) -> np.ndarray:
    """Number the 8-connected regions of masks (N, S, S), anomalous where nonzero.

    Returns:
      Region numbers int32 (N, S, S): 0 outside every region, then 1, 2, ..., different in every image.
    """
    from scipy import ndimage  # takes a quarter of a second to import

    return ndimage.label(masks, _EIGHT_NEIGHBOURS)[0]


def aupro(ranking: Ranking, fpr_limit: float = FPR_LIMIT) -> float | None:
    """Return the area under the per-region overlap curve up to `fpr_limit`, divided by `fpr_limit`.

    The area follows the trapezoid rule over every distinct score, and the last step is interpolated at the
    limit. The curve itself is never built. It is a mean over regions of a mean over pixels, so its area is
    the same mean of the area of each pixel's own curve. A pixel's curve rises from 0 to 1 while the false
    positive rate goes from `before` (normal pixels above its score) to `after` (normal pixels at or above
    it).

    Args:
      ranking: All pixels, those of normal images too, with region numbers as codes.
      fpr_limit: The false positive rate up to which the curve is integrated.

    Returns:
      The normalised area, 0..1, or None if there is no region or no normal pixel.
    """
    if not ranking.has_both_classes:
        return None
    before, after = ranking.above / ranking.normal, ranking.through / ranking.normal  # (T,)
    rise = after - before
    covered = np.clip(fpr_limit - before, 0.0, rise)  # the part of the rise within the limit
    slope = np.divide(1.0, rise, out=np.zeros_like(rise), where=rise > 0)
    area = np.clip(fpr_limit - after, 0.0, None) + covered * covered * slope / 2  # (T,)

    sizes = np.bincount(ranking.codes)[1:]
    areas = np.bincount(ranking.codes, weights=np.repeat(area, ranking.gains))[1:]
    return float(np.mean(areas / sizes) / fpr_limit)
