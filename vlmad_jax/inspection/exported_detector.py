"""Score images with an exported detector; needs jax, numpy and flatbuffers, with which jax reads the file.

    detector = load("nut.stablehlo")                    # needs nut.stablehlo.json beside it
    image, maps = detector.score(images)                # uint8 (B, *detector.size, 3) -> (B,), (B, *size)
    detector.bad(image), detector.probability(image)    # (B,) each; pixels of defects: maps > pixel_threshold

Images must be RGB, resized to `detector.size` (height, width) with Pillow's
`image.resize((width, height), Image.Resampling.BICUBIC)`, or BILINEAR if the JSON file has
"resample": "bilinear". The program compiles once for each batch size and
device.
"""

import hashlib
import json
import pathlib

import jax
import numpy as np
from jax import export


class ExportedDetector:
    """An exported program with its thresholds; `about` holds the contents of its JSON file."""

    def __init__(self, program: bytes, about: dict) -> None:
        self.about = about
        self.size = tuple(about["size"])
        self.threshold, self.scale = about["threshold"], about["scale"]
        self.pixel_threshold = about["pixel_threshold"]
        self._call = jax.jit(export.deserialize(bytearray(program)).call)

    def score(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return image scores (B,) and maps (B, *size), float32, of uint8 (B, *size, 3); higher is worse."""
        images = np.asarray(images)
        if images.dtype != np.uint8 or not len(images) or images.shape[1:] != (*self.size, 3):
            wanted = f"uint8 (B, {self.size[0]}, {self.size[1]}, 3), B of 1 or more"
            raise ValueError(f"the images are {images.dtype} {images.shape}; give {wanted}")
        image, maps = jax.device_get(self._call(images))
        return image, maps

    def bad(self, image: np.ndarray) -> np.ndarray:
        """Return whether image scores are above the threshold."""
        return np.asarray(image, np.float64) > self.threshold

    def probability(self, image: np.ndarray) -> np.ndarray:
        """Return the probabilities of bad images, logistic in (score - threshold) / scale."""
        return 0.5 + 0.5 * np.tanh((np.asarray(image, np.float64) - self.threshold) / (2 * self.scale))


def load(path: str | pathlib.Path) -> ExportedDetector:
    """Load an export; raise ValueError if the program and its JSON file do not match."""
    program = pathlib.Path(path).read_bytes()
    about = json.loads(pathlib.Path(f"{path}.json").read_text(encoding="utf-8"))
    if hashlib.sha256(program).hexdigest() != about["sha256"]:
        raise ValueError(f"{path}: does not match {path}.json; copy both again")
    return ExportedDetector(program, about)
