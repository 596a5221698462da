"""A caption beneath a heat map: the image's name, what was said of it, and the scale of colours."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmad_jax.report.maps import heat_colours
from vlmad_jax.runtime.names import shown

NARROWEST = 480  # pixels of the whole, so that a line of text has room
_TEXT, _PAPER = (17, 17, 17), (255, 255, 255)
_ELLIPSIS = "..."


def captioned(
    panels: Image.Image,
    name: str,
    said: str,
    ends: tuple[float, float],
    marks: Mapping[str, float] | None = None,
) -> Image.Image:
    """Return panels with a caption beneath them.

    Args:
      panels: RGB, as `draw_map` draws them; they stand in the left upper corner as they are.
      name: of the image; shortened at its beginning where there is no room.
      said: of the image, on the next line: its score, the decision.
      ends: values of the map at the ends of the scale of colours, as `draw_map` was given them.
      marks: values to mark on the scale by name, a threshold; those beyond its ends are left out.
    """
    width = max(panels.width, NARROWEST)
    font = _font(int(np.clip(width / 60, 13, 40)))
    line = round(1.5 * font.size)
    whole = Image.new("RGB", (width, panels.height + round(4.5 * line)), _PAPER)
    whole.paste(panels)
    draw = ImageDraw.Draw(whole)
    margin, top = line // 2, panels.height + line // 3
    draw.text((margin, top), _fitting(shown(name), font, width - 2 * margin), _TEXT, font)
    draw.text((margin, top + line), _fitting(said, font, width - 2 * margin, tail=False), _TEXT, font)
    _draw_scale(whole, (margin, top + round(2.2 * line), width - margin), font, ends, marks or {})
    return whole


def _draw_scale(
    whole: Image.Image,
    place: tuple[int, int, int],
    font: ImageFont.FreeTypeFont,
    ends: tuple[float, float],
    marks: Mapping[str, float],
) -> None:
    """The colours from end to end with their values, at `place`: left, top, right."""
    left, top, right = place
    draw = ImageDraw.Draw(whole)
    low, high = (number(value) for value in ends)
    start, stop = left + round(font.getlength(low + " ")), right - round(font.getlength(" " + high))
    height = round(0.8 * font.size)
    ramp = np.tile(np.linspace(*ends, stop - start), (height, 1))
    whole.paste(Image.fromarray(np.rint(heat_colours(ramp, *ends)).astype(np.uint8)), (start, top))
    draw.text((left, top + height // 2), low, _TEXT, font, anchor="lm")
    draw.text((right, top + height // 2), high, _TEXT, font, anchor="rm")
    for name, value in marks.items():
        if not ends[0] < value < ends[1]:
            continue
        x = start + round((value - ends[0]) / (ends[1] - ends[0]) * (stop - start - 1))
        draw.line((x, top - 2, x, top + height + 3), _TEXT, width=max(1, int(font.size) // 10))
        text = f"{name} {number(value)}"
        half = font.getlength(text) / 2
        draw.text((min(max(x, left + half), right - half), top + height + 4), text, _TEXT, font, anchor="ma")


def number(value: float) -> str:
    """A number as people read it.

    >>> number(0.123456), number(43.6)
    ('0.1235', '43.6')
    """
    return f"{value:.4g}"


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int, tail: bool = True) -> str:
    """A text, without its beginning (or its end) where there is no room for it."""
    if font.getlength(text) <= width:
        return text
    cut = (lambda n: _ELLIPSIS + text[n:]) if tail else (lambda n: text[: len(text) - n] + _ELLIPSIS)
    return next(x for x in map(cut, range(1, len(text) + 1)) if font.getlength(x) <= width)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font of matplotlib's figures, which has the letters of Latin, Greek, Cyrillic and Arabic."""
    import matplotlib  # takes a quarter of a second to import

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)
