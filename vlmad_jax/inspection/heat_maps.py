"""Heat maps of judged pictures as files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from vlmad_jax.data.images import resize_picture
from vlmad_jax.files import write_atomically
from vlmad_jax.inspection.judged import Judged, Key
from vlmad_jax.inspection.result import Result
from vlmad_jax.report import enlarged, heat_colours, map_picture


def write_heat_map(out: Path, judged: Judged) -> None:
    """Writes the picture, its heat map and the outline of what is above the pixel threshold, side by side.

    All heat maps of a detector have one scale of colours, see `Decision.colours`. Nothing is written of a
    picture without a result.
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
    picture = map_picture(shown, heat, heat > decision.pixel_threshold, *decision.colours)
    write_atomically(heat_map_path(out, judged.key), _png(enlarged(picture)))


def heat_layer(result: Result) -> bytes:
    """A map alone in the colours of `write_heat_map`, a PNG file, to be laid over the picture."""
    colours = heat_colours(result.canvas_map, *result.decision.colours)
    return _png(Image.fromarray(np.rint(colours).astype(np.uint8)))


def heat_map_path(out: Path, key: Key) -> Path:
    """Where the heat map of a picture is: below `maps`, as the picture is below its root."""
    path = Path(key.path)
    if ".." in path.parts:
        path = path.resolve()
    below = out.joinpath("maps", *path.parts[len(Path(path.anchor).parts) :])
    if key.frame is not None:
        below = below / f"{key.frame:06d}"
    return below.with_name(below.name + ".png")


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
