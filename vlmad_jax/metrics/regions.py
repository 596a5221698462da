"""AUPRO: the area under the per-region overlap curve.

Source: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.2. The per-region overlap
of a threshold is the mean over true regions of the fraction of the region that scores at least the threshold;
drawn against the false-positive rate over all normal pixels and integrated to a limit, 0.3.
"""

import numpy as np

from vlmad_jax.metrics.ranking import Ranking

FPR_LIMIT = 0.3

# Neighbours share a side or a corner within an image, and nothing with the images before and after it.
_EIGHT_NEIGHBOURS = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])


def label_regions(masks: np.ndarray) -> np.ndarray:
    """Number the 8-connected regions of masks (N, S, S), anomalous where nonzero.

    Returns int32 (N, S, S): 0 outside every region, then 1, 2, ... without repeating across images.
    """
    from scipy import ndimage  # takes a quarter of a second to import

    return ndimage.label(masks, _EIGHT_NEIGHBOURS)[0]


def aupro(ranking: Ranking, fpr_limit: float = FPR_LIMIT) -> float | None:
    """Area under the per-region overlap curve up to `fpr_limit`, divided by it, 0..1.

    `ranking` holds all pixels, good images included, with region numbers as codes. The area is that of the
    trapezoid rule over every distinct score, the last step interpolated at the limit. None where there is no
    region or no normal pixel.

    The curve is never built: being a mean over regions of a mean over pixels, its area is the same mean of
    each pixel's own area. A pixel's own curve rises from 0 to 1 while the false-positive rate goes from
    `before` to `after`, the rates above its score and at or above it, and stays 1 from there on.
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
