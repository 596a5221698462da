"""Inspection: fit a detector to a folder of images of good parts, and decide on every new image.

fit(FitConfig("winclip", "metal nut", references="good"), Path("nut.vlmad"))
result = load_detector("nut.vlmad")("new/0001.png")
"""

from vlmad_jax.inspection.detector import Box, FittedDetector, Result, boxes_of
from vlmad_jax.inspection.fit import FitConfig, fit
from vlmad_jax.inspection.saved import load_detector, save_detector

__all__ = [
    "Box",
    "FitConfig",
    "FittedDetector",
    "Result",
    "boxes_of",
    "fit",
    "load_detector",
    "save_detector",
]
