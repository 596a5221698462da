"""The page used in a browser, from dropping images to a refit."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.data.conftest import save
from tests.inspection.conftest import part
from tests.inspection.page.conftest import png, serving
from tests.report.test_page import browser, preferring, pytestmark, sized  # noqa: F401  a fixture, and a mark
from vlmad_jax import load_detector
from vlmad_jax.inspection import FitConfig, fit
from vlmad_jax.methods import MethodOptions

DROP = """
const [name, content] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], name));
document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WinCLIP on the bundled weights, fitted with two good parts."""
    folder = tmp_path_factory.mktemp("tiny")
    for seed in range(2):
        save(part(seed), folder / f"good/{seed}.png")
    config = FitConfig(
        "winclip",
        "plate",
        str(folder / "good"),
        options=MethodOptions(window_sizes=(2,)),
        augmentations=1,
        batch_size=1,
    )
    fit(config, folder / "plate.vlmad")
    return folder / "plate.vlmad"


class Page:
    """The page as a person has it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return [found.text for found in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def until(self, holds: Callable[[], Any]) -> None:
        WebDriverWait(self.driver, 120, 0.05).until(lambda _: holds())

    def told(self, start: str) -> str:
        """Waits until the status begins so."""
        self.until(lambda: self.one("#status").text.startswith(start) or self.one("#problems").text)
        assert self.one("#status").text.startswith(start), self.one("#problems").text
        return self.one("#status").text

    def slide(self, value: float) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.driver.execute_script(script, self.one("#threshold"), value)

    def press(self, selector: str) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.one(selector))
        self.one(selector).click()

    def choose(self, selector: str, value: str) -> None:
        Select(self.one(selector)).select_by_value(value)

    def score(self, number: int) -> float:
        return float(self.texts(".card .numbers")[number].split(",")[0].removeprefix("score "))


@pytest.fixture
def page(browser: webdriver.Chrome, tiny: Path, tmp_path: Path) -> Iterator[Page]:  # noqa: F811
    sized(browser, 1280)
    preferring(browser, "light")
    with serving(tiny, tmp_path / "out") as server:
        browser.get(server.url)
        yield Page(browser)
        logged = browser.get_log("browser")
        browser.get("about:blank")
    assert logged == []


@pytest.mark.long
def test_from_dropping_to_a_refit(page: Page, tiny: Path, tmp_path: Path):
    bad = base64.b64encode(png(part(9, spot=True))).decode()
    page.driver.execute_script(DROP, "<b>bad.png", bad)
    page.told("1 of 1 scored")
    page.one("#files").send_keys(str(save(part(20), tmp_path / "fine.png")))
    page.until(lambda: page.texts(".card .name") == ["<b>bad.png", "fine.png"])
    page.told("1 of 1 scored")
    shown = "return [...document.images].map((i) => i.complete && i.naturalWidth > 0)"
    page.until(lambda: page.driver.execute_script(shown) == [True] * 4)
    assert page.score(0) > page.score(1)

    opacity = "return getComputedStyle(document.querySelector('.heat')).opacity"
    assert page.driver.execute_script(opacity) == "0.5"
    page.one("#opacity").send_keys(Keys.HOME)
    assert page.driver.execute_script(opacity) == "0"

    between = (page.score(0) + page.score(1)) / 2
    decisions = {}
    for threshold in (page.score(1) * 0.99, between, page.score(0) * 1.01):
        page.slide(threshold)
        decisions[threshold] = page.texts(".card .decision")
    assert list(decisions.values()) == [["bad", "bad"], ["bad", "good"], ["good", "good"]]
    assert f"--threshold={page.score(0) * 1.01}"[:18] in page.one("#flag").text

    page.press(".card:nth-child(1) [data-mark=bad]")
    page.press(".card:nth-child(2) [data-mark=good]")
    page.until(lambda: page.one("#refit-what").get_property("textContent") == "1 marked good, 1 marked bad.")
    assert page.one("#missed").text == "1 of 1 (100.0%)"
    assert "Missed" in page.one(".card:nth-child(1) .mistake").text
    page.slide(between)
    assert page.one("#missed").text == "0 of 1 (0.0%)"

    field = page.one("#threshold-value")
    for text, value, problems in (
        (f"{between:.6f}".replace(".", ","), f"{between:.6f}", []),
        ("1.000,5", f"{between:.6f}", ['"1.000,5" is not a number; write for example 0.25']),
        (f"{between:.6f}", f"{between:.6f}", []),
    ):
        page.driver.execute_script("arguments[0].value = ''", field)
        field.send_keys(text)
        assert page.texts("#problems p") == problems
        assert float(page.driver.execute_script("return threshold")) == float(value)
    drawn = page.one("#histogram").get_attribute("aria-label")
    assert drawn.startswith(
        "2 reference images and 2 images from "
    )  # the two reference images, not their copies

    names = lambda: [name for name in page.texts(".card .name") if name]  # noqa: E731  "" where it is hidden
    for order, expected in (("best", ["fine.png", "<b>bad.png"]), ("worst", ["<b>bad.png", "fine.png"])):
        page.choose("#order", order)
        page.until(lambda expected=expected: names() == expected)
    for kept, expected in (
        ("bad", ["<b>bad.png"]),
        ("good", ["fine.png"]),
        ("marked", ["<b>bad.png", "fine.png"]),
    ):
        page.choose("#filter", kept)
        page.until(lambda expected=expected: names() == expected)
    lines = page.driver.execute_script("return table()").splitlines()
    assert lines[0] == "name,score,probability,decision,threshold,boxes,mark"
    assert [line.split(",")[0] for line in lines[1:]] == ["<b>bad.png", "fine.png"]
    assert [line.split(",")[3] for line in lines[1:]] == ["bad", "good"]
    assert page.driver.execute_script("return ['=1+1', 'a\"b,c', -1].map(cell)") == [
        "'=1+1", '"a""b,c"', "-1",
    ]  # fmt: skip
    page.choose("#filter", "all")
    page.choose("#order", "added")
    page.press(".card:nth-child(1) .stack")
    assert page.one("#large .what").text.startswith("<b>bad.png, bad, score ")
    assert page.one("#large .image").size["width"] > 2 * page.one(".card .image").size["width"]
    page.press("#large-close")
    page.press("#save-threshold")
    page.told("Saved in plate.vlmad")
    assert load_detector(tiny).threshold == pytest.approx(between, abs=1e-6)

    before = page.score(0)
    page.press("#prompts-panel summary")
    page.one("#prompts-bad").clear()
    page.one("#prompts-bad").send_keys("spotted {}\n{} with noise")
    page.press("#prompts .primary")
    page.told("Scored with these prompts too")
    assert page.score(0) != before
    assert page.texts(".card .other")[0].startswith(f"own prompts: {before} bad; on trial: ")
    page.press("[name=source][value=own]")
    assert page.score(0) == before
    page.one("#prompts-bad").send_keys("\nno braces")
    page.press("#prompts .primary")
    page.until(
        lambda: (
            page.texts("#problems p")
            == ["'no braces': write {} once, in the place of the object, and no other braces"]
        )
    )
    (refusal,) = page.driver.get_log("browser")  # which a browser logs, as it does all of them
    assert (
        "/prompts - Failed to load resource: the server responded with a status of 400" in refusal["message"]
    )
    page.press("#own-prompts")
    page.told("Scored with the detector's own prompts")
    assert "no braces" not in page.one("#prompts-bad").get_property("value")

    page.press("#refit-panel summary")
    page.press("#refit-start")
    assert "Saved as plate-2.vlmad" in page.told("Saved")
    fitted = load_detector(tmp_path / "out/plate-2.vlmad")
    assert len(fitted.description["references"]) == 3
    assert float(page.one("#threshold-value").get_property("value")) == pytest.approx(
        fitted.threshold, rel=1e-3
    )
    assert page.one("#detector").text == "plate-2.vlmad"
    assert page.one(".card:nth-child(2) .mistake").text.startswith("A reference image")

    for width in (400, 1280):
        sized(page.driver, width)
        wide = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        assert page.driver.execute_script(wide) == 0
    unlabelled = (
        "return [...document.querySelectorAll('input, textarea, button')].filter((each) =>"
        " !each.labels?.length && !each.ariaLabel && !each.textContent.trim()).length"
    )
    assert page.driver.execute_script(unlabelled) == 0
    page.driver.refresh()
    page.until(lambda: len(page.texts(".card .name")) == 2)
