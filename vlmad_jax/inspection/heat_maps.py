"""Heat maps of judged pictures as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vlmad_jax.data.images import resize_picture
from vlmad_jax.files import write_atomically
from vlmad_jax.inspection.judged import Judged, Key
from vlmad_jax.report import enlarged, map_picture


def write_heat_map(out: Path, judged: Judged) -> None:
    """Writes the picture, its heat map and the outline of what is above the pixel threshold, side by side.

    All heat maps of a detector have one scale of colours: black where good pictures are on average, its
    middle at the pixel threshold. Nothing is written of a picture without a result.
    """
    result = judged.result
    if result is None or judged.canvas is None:
        return
    height, width = result.size
    scale = max(judged.canvas.shape[:2]) / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    shown = resize_picture(Image.fromarray(judged.canvas), (rows, columns))
    resized = Image.fromarray(result.canvas_map).resize((columns, rows), Image.Resampling.BILINEAR)
    heat, decision = np.asarray(resized), result.decision
    low, high = decision.pixel_low, 2 * decision.pixel_threshold - decision.pixel_low
    picture = map_picture(shown, heat, heat > decision.pixel_threshold, low, max(low, high))
    data = io.BytesIO()
    enlarged(picture).save(data, "PNG")
    write_atomically(heat_map_path(out, judged.key), data.getvalue())


def heat_map_path(out: Path, key: Key) -> Path:
    """Where the heat map of a picture is: below `maps`, as the picture is below its root."""
    path = Path(key.path)
    if ".." in path.parts:
        path = path.resolve()
    below = out.joinpath("maps", *path.parts[len(Path(path.anchor).parts) :])
    if key.frame is not None:
        below = below / f"{key.frame:06d}"
    return below.with_name(below.name + ".png")
