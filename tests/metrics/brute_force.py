"""The per-region overlap curve by its definition: a plain loop over thresholds and regions."""

import numpy as np


def regions_of(mask):
    """Return the 8-connected regions of a mask (S, S) as boolean masks, by flood fill."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    regions = []
    while left:
        region, frontier = np.zeros(mask.shape, bool), [left.pop()]
        while frontier:
            y, x = frontier.pop()
            region[y, x] = True
            touching = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= touching
            frontier += touching
        regions.append(region)
    return regions


def aupro(maps, masks, limit=0.3):
    """Return the mean region overlap integrated over false positive rates up to `limit`, over `limit`."""
    regions = [(n, region) for n, mask in enumerate(masks) for region in regions_of(mask)]
    normal = masks == 0
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = maps >= threshold
        rates.append((above & normal).sum() / normal.sum())
        overlaps.append(np.mean([above[n][region].mean() for n, region in regions]))

    area = 0.0
    for x0, y0, x1, y1 in zip(rates, overlaps, rates[1:], overlaps[1:], strict=False):
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return (area + (limit - x0) * (y0 + y1) / 2) / limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit
