"""Every image has a map file of its own, and keeps its name where there is no need for another."""

from pathlib import Path

import pytest

from vlmad_jax.evaluation.map_files import map_paths
from vlmad_jax.report import ScoreRow


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["c/test/hole/000.png", "c/test/hole/001.jpg"], ["000.png", "001.png"]),
        (
            ["c/test/hole/000.jpg", "c/test/hole/000.png", "c/test/hole/1.png"],
            ["000.jpg.png", "000.png.png", "1.png"],
        ),
        (["test/hole/lot1/0.png", "test/hole/lot2/0.png"], ["lot1/0.png", "lot2/0.png"]),
        (["c/test/hole/A.png", "c/test/hole/a.PNG"], ["A.png", "a.png"]),
        (["c/test/hole/a.png", "c/test/hole/a.PNG"], ["a.png.png", "a.PNG.png"]),
        (
            ["c/test/hole/0.jpg", "c/test/hole/0.png", "c/test/hole/0.jpg.png"],
            ["0.jpg.png", "0.png.png", "0.jpg.png.png"],
        ),
        (["c/test/hole/0.png", "c/test/hole/0_mask.png"], ["0.png", "0_mask.png"]),
        (["c/Data/Images/Anomaly/000.JPG"], ["000.png"]),
        (["c/test/hole/test/hole/0.png"], ["test/hole/0.png"]),
    ],
)
def test_names(paths: list[str], expected: list[str]) -> None:
    rows = [ScoreRow(path, "c", "hole", 1, 0.5) for path in paths]
    assert map_paths(Path("out"), rows) == [Path("out/maps/c/hole", name) for name in expected]


def test_defects_have_folders_of_their_own() -> None:
    rows = [ScoreRow(f"c/test/{d}/0.{s}", "c", d, 1, 0.5) for d, s in (("a", "png"), ("b", "jpg"))]
    assert map_paths(Path("out"), rows) == [Path("out/maps/c/a/0.png"), Path("out/maps/c/b/0.png")]
