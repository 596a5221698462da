"""A split into training and test images for data sets that come without one."""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path


def training_images(paths: Collection[str], share: float) -> set[str]:
    """Return the images of the training split: a share of them with the smallest SHA-256 of the file name.

    The split is the same on every machine, and does not depend on the order of the images.

    >>> sorted(training_images(["a.png", "b.png", "c.png", "d.png"], share=0.5))
    ['b.png', 'c.png']
    """
    ranked = sorted(paths, key=lambda path: hashlib.sha256(os.fsencode(Path(path).name)).digest())
    return {path for rank, path in enumerate(ranked) if rank < share * len(ranked)}
