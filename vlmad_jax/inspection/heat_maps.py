"""Heat maps of judged images as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vlmad_jax.inspection.judged import Judged
from vlmad_jax.inspection.result import Result
from vlmad_jax.report import add_caption, draw_map, enlarge, format_number, heat_colours, restore_proportions
from vlmad_jax.runtime.files import write_atomically


def write_heat_map(path: Path, judged: Judged) -> None:
    """Writes the image, its heat map and the outline of what is above the pixel threshold, side by side.

    They have the proportions of the image; beneath them stand its name, its score, the decision, and the
    scale of colours, which is one for all heat maps of a detector, see `Decision.colours`. Nothing is written
    of an image without a result.
    """
    result = judged.result
    if result is None or judged.canvas is None:
        return
    decision = result.decision
    shown, heat, _ = restore_proportions(judged.canvas, result.canvas_map, None, result.size)
    panels = enlarge(draw_map(shown, heat, heat > decision.pixel_threshold, *decision.colours))
    decided = "bad" if result.bad else "good"
    said = f"{decided}: score {format_number(result.image)}, threshold {format_number(decision.threshold)}"
    marks = {"outlined above": decision.pixel_threshold}
    write_atomically(path, _png(add_caption(panels, str(judged.key), said, decision.colours, marks)))


def heat_layer(result: Result) -> bytes:
    """A map alone in the colours of `write_heat_map`, a PNG file, to be laid over the image."""
    colours = heat_colours(result.canvas_map, *result.decision.colours)
    return _png(Image.fromarray(np.rint(colours).astype(np.uint8)))


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()
