"""Drawings of anomaly maps: the image, its heat map and the true outline side by side, with a caption."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import printable

_HEAT = 0.55  # opacity of the heat map over the image
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma weights of ITU-R BT.601
SMALLEST_HEIGHT = 240  # pixels, of a panel on screen
WIDEST = 4096  # pixels, of enlarged panels
SHORTEST, LONGEST = 120, 1024  # pixels, limits for the sides of a panel with an extreme aspect ratio
_LINE = 1 / 240  # width of each of the two lines of an outline, as a share of the side
NARROWEST = 480  # pixels, so that a line of text fits under the panels
_TEXT, _PAPER = (17, 17, 17), (255, 255, 255)
_ELLIPSIS = "..."


def draw_map(
    image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray | None, vmin: float, vmax: float
) -> Image.Image:
    """Draw an image, its heat map and its true outline side by side.

    Args:
      image: The image, uint8 (height, width, 3).
      anomaly_map: The anomaly map (height, width), finite.
      mask: The mask (height, width), anomalous where nonzero. If it is None, the third panel is skipped.
      vmin: The value at the dark end of the colour scale; smaller values get the same colour.
      vmax: The value at the light end of the colour scale; larger values get the same colour. Maps can be
        compared only if they are drawn with the same ends, for example those of a whole category.

    Returns:
      An RGB image of the same height and three times the width, or twice the width without a mask.

    Raises:
      InputError: Shapes do not agree, or the map or the ends are not finite and in order.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image: {image.dtype} {image.shape}; give uint8 (H, W, 3)")
    for name, array in (("anomaly_map", anomaly_map), ("mask", mask)):
        if array is not None and array.shape != image.shape[:2]:
            raise InputError(
                f"{name}: shape {array.shape}, but the image has {image.shape}; give the same size"
            )
    if not (np.isfinite([vmin, vmax]).all() and vmin <= vmax):
        raise InputError(f"vmin, vmax: {vmin}, {vmax}; give finite numbers, the smaller first")
    if not np.isfinite(anomaly_map).all():
        raise InputError("anomaly_map: holds NaN or an infinity; fix the method that scored the image")

    panels = [image, _heat_over(image, anomaly_map, vmin, vmax)]
    if mask is not None:
        panels.append(_outlined(image, mask != 0))
    return Image.fromarray(np.concatenate(panels, axis=1))


def enlarge(image: Image.Image) -> Image.Image:
    """Enlarge an image by a whole number to at least `SMALLEST_HEIGHT` pixels in height.

    The result is at most `WIDEST` pixels wide, even if its height is then smaller.
    """
    factor = max(1, min(-(-SMALLEST_HEIGHT // image.height), WIDEST // image.width))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def restore_proportions(
    image: np.ndarray, anomaly_map: np.ndarray, mask: np.ndarray | None, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Restore the original aspect ratio of an image that was resized to a detector's input.

    Args:
      image: The resized image, uint8 (rows, columns, 3).
      anomaly_map: The anomaly map of the whole image, float32 of any size.
      mask: The mask of the whole image, of any size, or None.
      size: The (height, width) of the original image.

    Returns:
      The image, the map and the mask with one size. The longer side is that of `image`. If the shorter side
      would have fewer than `SHORTEST` pixels, the longer side is enlarged up to `LONGEST`.
    """
    longest = max(max(image.shape[:2]) / max(size), min(SHORTEST / min(size), LONGEST / max(size)))
    rows, columns = (max(1, round(side * longest)) for side in size)

    def resized(array: np.ndarray, method: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(array).resize((columns, rows), method))

    known = None if mask is None else resized((mask != 0).astype(np.uint8), Image.Resampling.NEAREST)
    shown = resized(image, Image.Resampling.BICUBIC)
    return shown, resized(anomaly_map.astype(np.float32), Image.Resampling.BILINEAR), known


def heat_colours(anomaly_map: np.ndarray, vmin: float, vmax: float) -> np.ndarray:
    """Return the colours of a map's values, float32 (..., 3) in 0..255, for the ends of `draw_map`."""
    scale = max(vmax - vmin, np.finfo(np.float64).tiny)
    share = np.clip((anomaly_map.astype(np.float64) - vmin) / scale, 0, 1)
    return _colours()[np.rint(share * 255).astype(np.uint8)]


def _heat_over(image: np.ndarray, anomaly_map: np.ndarray, vmin: float, vmax: float) -> np.ndarray:
    """Return the colours of the map over the image in grey, uint8 (height, width, 3)."""
    heat = heat_colours(anomaly_map, vmin, vmax)
    grey = (image @ _GREY)[..., None]
    return np.rint(_HEAT * heat + (1 - _HEAT) * grey).astype(np.uint8)


@functools.cache
def _colours() -> np.ndarray:
    """Return the colour of each of 256 steps, float32 (256, 3) in 0..255."""
    import matplotlib  # takes a quarter of a second to import

    return (matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.float32)


def _outlined(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the image with a white line just inside the edge of the mask and a black line just outside."""
    from scipy import ndimage  # takes a quarter of a second to import

    thickness = max(1, round(_LINE * max(mask.shape)))
    square = np.ones((3, 3), bool)
    grown = ndimage.binary_dilation(mask, square, iterations=thickness)
    shrunk = ndimage.binary_erosion(mask, square, iterations=thickness)
    outlined = image.copy()
    outlined[grown & ~mask] = 0
    outlined[mask & ~shrunk] = 255
    return outlined


def add_caption(
    panels: Image.Image,
    name: str,
    text: str,
    ends: tuple[float, float],
    marks: Mapping[str, float] | None = None,
) -> Image.Image:
    """Return panels with a caption below: the name, a line of text, and the colour scale.

    Args:
      panels: The RGB panels of `draw_map`, which are placed unchanged in the upper left corner.
      name: The name of the image. A long name is shortened at its beginning.
      text: The next line, for example the score and the decision. A long text is shortened at its end.
      ends: The values at the ends of the colour scale, as given to `draw_map`.
      marks: Values to mark on the scale by name, for example a threshold. Values beyond the ends are skipped.
    """
    width = max(panels.width, NARROWEST)
    font = _font(int(np.clip(width / 60, 13, 40)))
    line = round(1.5 * font.size)
    whole = Image.new("RGB", (width, panels.height + round(4.5 * line)), _PAPER)
    whole.paste(panels)
    draw = ImageDraw.Draw(whole)
    margin, top = line // 2, panels.height + line // 3
    draw.text((margin, top), _fitting(printable(name), font, width - 2 * margin), _TEXT, font)
    draw.text((margin, top + line), _fitting(text, font, width - 2 * margin, tail=False), _TEXT, font)
    _draw_scale(whole, (margin, top + round(2.2 * line), width - margin), font, ends, marks or {})
    return whole


def _draw_scale(
    whole: Image.Image,
    place: tuple[int, int, int],
    font: ImageFont.FreeTypeFont,
    ends: tuple[float, float],
    marks: Mapping[str, float],
) -> None:
    """Draw the colour scale with its values at `place`: left, top, right."""
    left, top, right = place
    draw = ImageDraw.Draw(whole)
    low, high = (format_number(value) for value in ends)
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
        text = f"{name} {format_number(value)}"
        half = font.getlength(text) / 2
        draw.text((min(max(x, left + half), right - half), top + height + 4), text, _TEXT, font, anchor="ma")


def format_number(value: float) -> str:
    """Return a number with four significant digits.

    >>> format_number(0.123456), format_number(43.6)
    ('0.1235', '43.6')
    """
    return f"{value:.4g}"


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int, tail: bool = True) -> str:
    """Return a text that fits the width, shortened at its beginning, or at its end without `tail`."""
    if font.getlength(text) <= width:
        return text
    cut = (lambda n: _ELLIPSIS + text[n:]) if tail else (lambda n: text[: len(text) - n] + _ELLIPSIS)
    return next(x for x in map(cut, range(1, len(text) + 1)) if font.getlength(x) <= width)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of matplotlib's figures, which covers Latin, Greek, Cyrillic and Arabic."""
    import matplotlib  # takes a quarter of a second to import

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)
