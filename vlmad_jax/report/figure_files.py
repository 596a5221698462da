"""Figures of a report as PNG and SVG files with reproducible bytes."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import matplotlib
import matplotlib.figure
from matplotlib.rcsetup import cycler

from vlmad_jax.report.parts import Figure

Theme = Literal["light", "dark"]

_DPI = 150
# Okabe and Ito's colours, which colour-blind readers can distinguish: blue, vermilion, green, purple, orange,
# sky blue and grey. They are darkened on white and lightened on black to a contrast of at least 3 to 1.
_LINES = {
    "light": ("#0072b2", "#d55e00", "#00875f", "#b8578c", "#b97f00", "#2f8fc4", "#6b6b6b"),
    "dark": ("#4aa8e0", "#f0803c", "#1fbf92", "#dd93bb", "#f0b429", "#8fd0f5", "#b3b3b3"),
}
_INKS = {  # text, edges of the axes, grid, and background of a legend
    "light": ("#1c2024", "#8a929b", "#e3e6ea", "#ffffff"),
    "dark": ("#e4e7eb", "#7b8590", "#31373f", "#191d22"),
}


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG on white with 150 pixels per inch."""
    return render(figure)[0]


def to_svg(figure: Figure, theme: Theme) -> bytes:
    """Return the figure as SVG for a light or dark page, with a transparent background and real text."""
    svg = render(figure)[1]
    return svg if theme == "light" else _darkened(svg)


@lru_cache(maxsize=64)
def render(figure: Figure) -> tuple[bytes, bytes]:
    """Draw a figure as PNG, and as SVG for a light page. The result is cached: drawing takes a second."""
    with _style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # for names in a script that the font lacks
        canvas = matplotlib.figure.Figure(figsize=figure.size, layout="constrained")
        figure.draw(canvas)
        png = _saved(canvas, "png", dpi=_DPI, facecolor="white", metadata={"Software": None})
        svg = _saved(canvas, "svg", facecolor="none", metadata={"Date": None, "Creator": None})
    return png, svg


def _darkened(svg: bytes) -> bytes:
    """Return the SVG with the colours of the light theme replaced by those of the dark theme."""
    light, dark = (_LINES[theme] + _INKS[theme] for theme in ("light", "dark"))
    dark_colours = {a.encode(): b.encode() for a, b in zip(light, dark, strict=True)}
    return re.sub(rb"#[0-9a-f]{6}\b", lambda found: dark_colours.get(found[0], found[0]), svg)


def _saved(canvas: matplotlib.figure.Figure, form: str, **how: Any) -> bytes:
    file = io.BytesIO()
    canvas.savefig(file, format=form, **how)
    return file.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Apply the defaults of matplotlib, regardless of the user's settings, with the light theme's colours."""
    ink, edge, grid, ground = _INKS["light"]
    lines = cycler(linestyle=["-", "--"]) * cycler(color=_LINES["light"])
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "axes.axisbelow": True,
                "axes.edgecolor": edge,
                "axes.facecolor": "none",
                "axes.grid": True,
                "axes.labelcolor": ink,
                "axes.prop_cycle": lines,
                "axes.spines.right": False,
                "axes.spines.top": False,
                "axes.titlecolor": ink,
                "axes.titlesize": "medium",
                "grid.color": grid,
                "grid.linewidth": 0.8,
                "hatch.color": ink,
                "legend.edgecolor": grid,
                "legend.facecolor": ground,
                "legend.fontsize": "small",
                "legend.framealpha": 0.85,
                "lines.linewidth": 1.8,
                "patch.edgecolor": ink,
                "svg.fonttype": "none",
                "svg.hashsalt": "vlmad_jax",
                "text.color": ink,
                "text.parse_math": False,  # the name of a category may contain "$"
                "xtick.color": edge,
                "xtick.labelcolor": ink,
                "ytick.color": edge,
                "ytick.labelcolor": ink,
            }
        )
        yield
