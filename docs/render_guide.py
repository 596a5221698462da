"""Renders docs/guide_page.png, the review page with the guide's detector; needs chromium and chromedriver.

    python docs/render_guide.py nut.vlmad docs/guide_page.png new/000-broken_part.png new/040-good.png

The detector and the images are those of docs/guide.md. The image beside it, docs/guide_map.png, is one of the
files that its `predict --save_maps` writes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parents[1]
SIZE = (1280, 900)
SECONDS = 600


def photograph(address: str, images: list[Path], out: Path) -> None:
    """Give the images to the page, wait for their scores, and write an image of the top of the page."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_window_size(*SIZE)
        driver.get(address)
        driver.find_element(By.CSS_SELECTOR, "#files").send_keys("\n".join(map(str, images)))
        loaded = "return [...document.images].filter((x) => x.complete && x.naturalWidth).length"
        WebDriverWait(driver, SECONDS).until(
            lambda _: driver.execute_script(loaded) == 2 * len(images)  # each image and its heat map
        )
        driver.save_screenshot(str(out))
    finally:
        driver.quit()


def main() -> None:
    """Open the page of a detector and photograph it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("detector", type=Path)
    parser.add_argument("image", type=Path, help="the file to write")
    parser.add_argument("images", type=Path, nargs="+", help="the images to review")
    given = parser.parse_args()
    command = [sys.executable, "-m", "experiments.review", str(given.detector.resolve())]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = server.stdout.readline() if server.stdout else ""
        if not line.startswith("the page is at "):
            sys.exit(f"error: no page ({line.strip()})")
        photograph(line.split()[-1], [path.resolve() for path in given.images], given.image)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
