"""docs/report.png is made by a command."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.experiments.command import ROOT, there

COMMAND = str(ROOT / "docs/render_report.py")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no browser: apt-get install chromium")
def test_a_page_is_photographed(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<body style='margin:0; background:rgb(10, 200, 30)'></body>")
    done = there(COMMAND, str(tmp_path / "a.png"), f"--report={page}")
    assert done.code == 0, done.stderr
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1280, 760)
        assert image.convert("RGB").getpixel((640, 380)) == (10, 200, 30)
