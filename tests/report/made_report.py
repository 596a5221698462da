"""A small report with every kind of part, for the tests of its files and its page."""

import io
from collections.abc import Sequence

import matplotlib
import matplotlib.figure
import numpy as np
from PIL import Image

from vlmad_jax.report.parts import Column, Exhibit, Figure, Gallery, Outcome, Section, Table

MARKUP = "<script>alert(1)</script>"
COLUMNS = (
    Column("method", "method"),
    Column("shots", "shots"),
    Column("image_auroc", "AUROC", digits=3, group="image"),
    Column("pixel_auroc", "AUROC", digits=3, group="pixel"),
    Column("pixel_aupro", "AUPRO", digits=3, group="pixel"),
    Column("ms", "ms/image", digits=1),
)


def row(method: str, shots: int | str | None, *numbers: float | None) -> dict[str, str | float | int | None]:
    return dict(zip([column.key for column in COLUMNS], (method, shots, *numbers), strict=True))


TABLE = Table(
    name="table1",
    title="Methods under one protocol",
    columns=COLUMNS,
    rows=(
        row("winclip", 0, 0.1 + 0.2, None, 0.9, 13.65),
        row("patchcore", 16, 1 / 3, 0.5, None, 9.0),
        row("padim", 4, 0.25, -1e-9, 0.125, 101.25),
        row("all | sorts", "all", 1.0, 0.75, 0.0625, 1e6),
        row("mean", None, 0.47, 0.4166, 0.3625, None),
    ),
    note="Metrics are fractions.\n\nTimes are in milliseconds.",
    summary=1,
)


def draw_lines(canvas: matplotlib.figure.Figure) -> None:
    axes = canvas.subplots()
    for n in range(9):
        axes.plot([0, 1, 2], [n, n + 1, n / 2], label=f"method {n}")
    axes.set_xlabel("good samples")
    axes.legend()


FIGURE = Figure("figure1", "Good samples help", {"x": [0, 1, 2]}, draw_lines, note="To be seen.", size=(5, 3))


def panels(form: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 120, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def exhibit(n: int, method: str, category: str, defect: str, outcome: Outcome, score: float) -> Exhibit:
    path = f"{category}/test/{defect}/{n:03}.png"
    return Exhibit(method, category, defect, outcome, score, path, panels(("PNG", "JPEG", "WEBP")[n % 3], n))


EXHIBITS = (
    exhibit(0, "winclip", "cup", "good", "passed", 0.1 + 0.2),
    exhibit(1, "winclip", "cup", "crack", "found", 2 / 3),
    exhibit(2, "padim", "cup", "crack", "missed", 0.25),
    exhibit(3, "padim", "lid", "good", "false alarm", 10.0),
    exhibit(4, "winclip", "lid", "scratch", "found", 9.5),
    exhibit(5, "padim", MARKUP, "good", "passed", -0.125),
)
GALLERY = Gallery("gallery1", "Images to look through", EXHIBITS, note="Three panels.")


def sections() -> Sequence[Section]:
    return (
        Section("results", "Results", (TABLE, FIGURE), text=f"A first paragraph.\n\n{MARKUP} & more."),
        Section("images", "Images", (GALLERY,)),
    )
