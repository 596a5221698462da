"""docs/photographs.py: which licence a package states for a photograph, and what is saved of it."""

import importlib.util
import struct
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

COPYRIGHT = """\
Files: *
Copyright: 2020 Somebody
License: GPL-3+

Files: photos/*.jpg
Copyright: 2021 A. Photographer
 2022 B. Photographer
License: CC-BY-4.0
 The text of the licence.

Files: photos/mine.jpg
Copyright: 2023 C. Photographer
License: CC-BY-SA-4.0
"""


@pytest.fixture(scope="module")
def photographs() -> ModuleType:
    path = Path(__file__).parents[2] / "docs/photographs.py"
    spec = importlib.util.spec_from_file_location("collected_photographs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("usr/share/photos/a.webp", ("CC-BY-4.0", "2021 A. Photographer; 2022 B. Photographer")),
        ("usr/share/photos/mine.jpg", ("CC-BY-SA-4.0", "2023 C. Photographer")),  # the last match counts
        ("usr/share/sounds/a.jpg", ("GPL-3+", "2020 Somebody")),
    ],
)
def test_the_licence_of_a_file(photographs, tmp_path, path, expected):
    (tmp_path / "copyright").write_text(COPYRIGHT)
    assert photographs.stated_licence(tmp_path / path, tmp_path / "copyright") == expected
    assert (expected[0] in photographs.FREE) == (expected[0] == "CC-BY-4.0")


def test_a_photograph_is_saved_over_white_and_no_larger_than_needed(photographs, tmp_path):
    image = Image.new("RGBA", (2048, 1024), (200, 0, 0, 0))
    image.paste((0, 0, 200, 255), (0, 0, 512, 1024))
    image.save(tmp_path / "large.png")
    assert photographs.save(tmp_path / "large.png", tmp_path / "saved/large.jpg")
    saved = Image.open(tmp_path / "saved/large.jpg")
    assert saved.size == (1024, 512)
    pixels = np.asarray(saved, int)
    assert np.abs(pixels[:, :200] - [0, 0, 200]).max() <= 3  # JPEG
    assert np.abs(pixels[:, 300:] - 255).max() <= 3
    Image.new("RGB", (400, 199)).save(tmp_path / "small.png")
    assert not photographs.save(tmp_path / "small.png", tmp_path / "saved/small.jpg")
    assert not (tmp_path / "saved/small.jpg").exists()


def test_photographs_of_an_earlier_collection_are_removed(photographs, tmp_path):
    photographs.remove_collected(tmp_path)  # the first time there are none
    for name in ("old.jpg", "mine.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "SOURCES.tsv").write_text("file\tpackage\nold.jpg\ta\nmissing.jpg\ta\n")
    photographs.remove_collected(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.jpg", "SOURCES.tsv"}


def test_images_inside_a_resource_file_of_qt(photographs, tmp_path):
    """A folder with a file that is stored as it is, one that is compressed, and one of another kind."""
    names, contents, nodes = b"", b"", []
    offsets = {}
    for name in ("photos", "a.webp", "b.webp", "c.svg"):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    packed = struct.pack(">I", 5) + zlib.compress(b"bytes")
    starts = []
    for content in (b"plain", packed, b"<svg/>"):
        starts.append(len(contents))
        contents += struct.pack(">I", len(content)) + content
    nodes.append(struct.pack(">IHII", 0, 2, 1, 1))  # the root: one child, node 1
    nodes.append(struct.pack(">IHII", offsets["photos"], 2, 3, 2))  # three children from node 2 on
    for name, flags, start in zip(("a.webp", "b.webp", "c.svg"), (0, 1, 0), starts, strict=True):
        nodes.append(struct.pack(">IHII", offsets[name], flags, 0, start))
    tree = b"".join(nodes)
    header = b"qres" + struct.pack(">IIII", 1, 20, 20 + len(tree), 20 + len(tree) + len(contents))
    photographs.unpack_resources(header + tree + contents + names, tmp_path)
    found = {path.name: path.read_bytes() for path in (tmp_path / "photos").iterdir()}
    assert found == {"a.webp": b"plain", "b.webp": b"bytes"}
