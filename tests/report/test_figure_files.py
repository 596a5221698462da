"""Figures as files with reproducible bytes and colours that are legible on their page."""

import io
import re
import subprocess
import sys
from importlib.resources import files
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.report.made_report import FIGURE
from vlmad_jax.report import figure_files
from vlmad_jax.report.figure_files import to_png, to_svg
from vlmad_jax.report.parts import Figure

CSS = files("vlmad_jax.report").joinpath("templates/page.css").read_text()
SURFACES = dict(zip(("light", "dark"), re.findall("--surface: (#[0-9a-f]{6});", CSS), strict=True))


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    share = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(colour: str, ground: str) -> float:
    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def strokes(svg: bytes) -> list[str]:
    return re.findall(r"stroke: (#[0-9a-f]{6})", svg.decode())


def test_another_process_draws_the_same_bytes():
    code = (
        "import sys; from tests.report.made_report import FIGURE;"
        "from vlmad_jax.report.figure_files import to_png, to_svg;"
        "sys.stdout.buffer.write(to_png(FIGURE) + to_svg(FIGURE, 'light') + to_svg(FIGURE, 'dark'))"
    )
    theirs = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
    assert to_png(FIGURE) + to_svg(FIGURE, "light") + to_svg(FIGURE, "dark") == theirs


def test_settings_of_the_user_have_no_effect_and_are_restored():
    before = to_png(FIGURE), to_svg(FIGURE, "dark")
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 30.0}):
        figure_files.render.cache_clear()
        assert (to_png(FIGURE), to_svg(FIGURE, "dark")) == before
        assert matplotlib.rcParams["lines.linewidth"] == 9.0


def test_png_is_white_and_150_pixels_an_inch():
    with Image.open(io.BytesIO(to_png(FIGURE))) as image:
        assert image.size == (750, 450)
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.02)  # stored in whole pixels a metre
        pixels = np.asarray(image.convert("RGBA"))
    assert (pixels[[0, -1]] == 255).all()
    assert (pixels[..., 3] == 255).all()


def test_svg_has_text_and_lets_the_page_show_through():
    svg = to_svg(FIGURE, "light").decode()
    assert ">good samples</text>" in svg
    assert 'width="360pt" height="216pt"' in svg
    assert re.search(r'<g id="patch_1">\s*<path d="[^"]*" style="fill: none"', svg)
    assert re.search(r'<g id="patch_2">\s*<path d="[^"]*" style="fill: none"', svg)
    assert "date>" not in svg


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_and_text_can_be_read_on_their_page(theme):
    surface = SURFACES[theme]
    svg = to_svg(FIGURE, theme)
    lines = figure_files._LINES[theme]
    assert set(lines) <= set(strokes(svg))
    assert min(contrast(line, surface) for line in lines) >= 3
    ink, *_, legend = figure_files._INKS[theme]
    assert legend == surface
    assert ink in set(re.findall(r"fill: (#[0-9a-f]{6})", svg.decode()))
    assert contrast(ink, surface) > 12


def test_as_many_lines_as_methods_look_different():
    looks = re.findall(r"stroke-dasharray: [^;]*; |stroke: #[0-9a-f]{6}", to_svg(FIGURE, "light").decode())
    dashed = [b for a, b in pairwise(looks) if a.startswith("stroke-dasharray")]
    assert {f"stroke: {line}" for line in figure_files._LINES["light"][:2]} <= set(dashed)


def test_no_window_system_and_no_state_of_pyplot():
    import matplotlib.pyplot as plt

    to_png(Figure("f", "", None, lambda canvas: canvas.subplots()))
    assert plt.get_fignums() == []
