"""Renders docs/report.png, the first page of the report, with the bundled model; needs chromium.

    python docs/render_report.py docs/report.png

The report itself is of `python -m experiments.paper --only=table1,table2 --out=OUT`; `--report=FILE` takes
one that is there. Without `--categories` it is of all eight products of `synthetic`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZE = "1280,760"


def make_report(out: Path, categories: str) -> Path:
    """Run the study of two tables; return its page."""
    flags = ["--dataset=synthetic", "--only=table1,table2", f"--out={out}"]
    flags += [f"--categories={categories}"] if categories else []
    subprocess.run([sys.executable, "-m", "experiments.paper", *flags], cwd=ROOT, check=True)
    return out / "report.html"


def photograph(page: Path, image: Path) -> None:
    """Write an image of the top of a page; exit with a line where there is no browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("error: no chromium; install it, for example with apt-get install chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
    address = page.resolve().as_uri()
    shot = f"--screenshot={image.resolve()}"
    subprocess.run([browser, *flags, shot, address], check=True, capture_output=True)


def main() -> None:
    """Arguments in, an image out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--report", type=Path, help="a report.html that is there")
    parser.add_argument("--categories", default="", help="those of the data set to show; all if not given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = given.report or make_report(Path(folder) / "report", given.categories)
        photograph(page, given.image)


if __name__ == "__main__":
    main()
