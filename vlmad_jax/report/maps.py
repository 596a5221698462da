"""Anomaly maps as images: the image, its heat map and the true outline, side by side."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import shown

_HEAT = 0.55  # the share of the heat map where it lies over the image
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma weights of ITU-R BT.601
SMALLEST_HEIGHT = 240  # pixels of a panel on screen
WIDEST = 4096  # pixels to which panels are enlarged
SHORTEST, LONGEST = 120, 1024  # pixels of the sides of a panel that is much longer than wide, or wider
_LINE = 1 / 240  # width of each of the outline's two lines, as a share of the side
NARROWEST = 480  # pixels of the whole, so that a line of text has room
_TEXT, _PAPER = (17, 17, 17), (255, 255, 255)
_ELLIPSIS = "..."


def draw_map(
    image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray | None, vmin: float, vmax: float
) -> Image.Image:
    """Draw one image, its anomaly map over it, and its true outline.

    image uint8 (H, W, 3); anomaly_map (H, W), finite; mask (H, W), anomalous where nonzero, or None where
    nothing is known, which leaves the third panel out. `vmin`, black, and `vmax`, pale yellow, are the ends
    of the colour scale, which grows evenly lighter; values beyond them take the end's colour. Maps drawn with
    the same ends can be compared: give those of a whole category. Returns an RGB image, H high and 3 W wide
    (2 W without a mask).

    Raises InputError for shapes that do not agree and for ends that are not finite and in order.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image: {image.dtype} {image.shape}; give uint8 (H, W, 3)")
    for name, array in (("anomaly_map", anomaly_map), ("mask", mask)):
        if array is not None and array.shape != image.shape[:2]:
            raise InputError(f"{name}: shape {array.shape} where image has {image.shape}; give one size")
    if not (np.isfinite([vmin, vmax]).all() and vmin <= vmax):
        raise InputError(f"vmin, vmax: {vmin}, {vmax}; give finite numbers, the smaller first")
    if not np.isfinite(anomaly_map).all():
        raise InputError("anomaly_map: holds NaN or an infinity; mend what scores the image")

    panels = [image, _heat_over(image, anomaly_map, vmin, vmax)]
    if mask is not None:
        panels.append(_outlined(image, mask != 0))
    return Image.fromarray(np.concatenate(panels, axis=1))


def enlarged(image: Image.Image) -> Image.Image:
    """The image enlarged by a whole number until it is `SMALLEST_HEIGHT` pixels high, for people to see.

    One that would then be wider than `WIDEST` is enlarged less.
    """
    factor = max(1, min(-(-SMALLEST_HEIGHT // image.height), WIDEST // image.width))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def in_proportion(
    image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray | None, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Give an image that was resized to a detector's input the proportions back that it had.

    Args:
      image: uint8 (rows, columns, 3).
      anomaly_map: float32 of any size, over the whole image.
      mask: of any size, likewise, or None.
      size: (height, width) of the image before it was resized.

    Returns:
      All three of one size: the longer side is that of `image`, or longer, as far as `LONGEST`, where the
      shorter one would have less than `SHORTEST` pixels.
    """
    longest = max(max(image.shape[:2]) / max(size), min(SHORTEST / min(size), LONGEST / max(size)))
    rows, columns = (max(1, round(side * longest)) for side in size)

    def resized(array: np.ndarray, method: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(array).resize((columns, rows), method))

    known = None if mask is None else resized((mask != 0).astype(np.uint8), Image.Resampling.NEAREST)
    shown = resized(image, Image.Resampling.BICUBIC)
    return shown, resized(anomaly_map.astype(np.float32), Image.Resampling.BILINEAR), known


def heat_colours(anomaly_map: np.ndarray, vmin: float, vmax: float) -> np.ndarray:
    """The colours of a map's values, float32 (..., 3), 0 to 255, between ends as `draw_map` has them."""
    scale = max(vmax - vmin, np.finfo(np.float64).tiny)
    share = np.clip((anomaly_map.astype(np.float64) - vmin) / scale, 0, 1)
    return _colours()[np.rint(share * 255).astype(np.uint8)]


def _heat_over(image: np.ndarray, anomaly_map: np.ndarray, vmin: float, vmax: float) -> np.ndarray:
    """The colours of the map over the image in grey, uint8 (H, W, 3)."""
    heat = heat_colours(anomaly_map, vmin, vmax)
    grey = (image @ _GREY)[..., None]
    return np.rint(_HEAT * heat + (1 - _HEAT) * grey).astype(np.uint8)


@functools.cache
def _colours() -> np.ndarray:
    """The colour of each of 256 steps, float32 (256, 3), 0 to 255."""
    import matplotlib  # takes a quarter of a second to import

    return (matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.float32)


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with a white line just inside the mask's edge and a black one just outside."""
    from scipy import ndimage  # takes a quarter of a second to import

    thickness = max(1, round(_LINE * max(mask.shape)))
    square = np.ones((3, 3), bool)
    grown = ndimage.binary_dilation(mask, square, iterations=thickness)
    shrunk = ndimage.binary_erosion(mask, square, iterations=thickness)
    outlined = image.copy()
    outlined[grown & ~mask] = 0
    outlined[mask & ~shrunk] = 255
    return outlined


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
