"""The page of a report in a browser without a network."""

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.report.made_report import EXHIBITS, MARKUP, TABLE, sections
from vlmad_jax.report.report_files import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
)
GIVEN = [row["method"] for row in TABLE.rows]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, f"Ten ways {MARKUP}", sections(), intro="One.\n\nTwo & three.")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = CHROMIUM
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, report: Path) -> Iterator[webdriver.Chrome]:
    """The page as a reader first sees it, 1280 pixels wide and light; at the end the console is empty."""
    sized(browser, 1280)
    preferring(browser, "light")
    browser.get((report / "report.html").as_uri())
    yield browser
    logged = browser.get_log("browser")
    browser.get("about:blank")
    assert logged == []


def sized(browser: webdriver.Chrome, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def preferring(browser: webdriver.Chrome, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)"
    return browser.execute_script(script, selector)


def values(browser: webdriver.Chrome, selector: str) -> list[str | None]:
    script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.dataset.value)"
    return browser.execute_script(script, selector)


def heading(browser: webdriver.Chrome, key: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f"#table1 th[aria-sort][data-key={key}]")


def methods(browser: webdriver.Chrome) -> list[str]:
    """Return the methods of the rows from top to bottom, including summaries."""
    return texts(browser, "#table1 :is(tbody, tfoot) [data-key=method]")


def test_every_number_is_that_of_the_metrics(opened, report):
    metrics = json.loads((report / "metrics.json").read_text())
    rows = metrics["tables"]["table1"]["rows"]
    for column in TABLE.columns:
        cells = f"#table1 :is(tbody, tfoot) [data-key={column.key}]"
        given = [row[column.key] for row in rows]
        for value, exact, shown in zip(given, values(opened, cells), texts(opened, cells), strict=True):
            assert shown == column.format(value)
            if isinstance(value, str):
                assert exact is None
            else:
                assert (float(exact) if exact else None) == value
    scores = [exhibit["score"] for exhibit in metrics["galleries"]["gallery1"]["exhibits"]]
    assert [float(value) for value in values(opened, "#gallery1 .card [data-value]")] == scores
    assert len(values(opened, "[data-value]")) == len(scores) + sum(
        not isinstance(value, str) for row in rows for value in row.values()
    )


def test_groups_stand_above_their_columns(opened):
    cells = opened.execute_script(
        "return [...document.querySelector('#table1 thead tr').cells].map((c) => [c.textContent, c.colSpan])"
    )
    assert cells == [["", 1], ["", 1], ["image", 1], ["pixel", 2], ["", 1]]


@pytest.mark.parametrize(
    ("key", "ascending", "descending"),
    [
        ("ms", [1, 0, 2, 3], [3, 2, 0, 1]),
        ("pixel_auroc", [2, 1, 3, 0], [3, 1, 2, 0]),  # undefined last in both
        ("shots", [0, 2, 1, 3], [1, 2, 0, 3]),  # numbers before text in both
        ("method", [3, 2, 1, 0], [0, 1, 2, 3]),
    ],
)
def test_a_click_sorts_up_then_down_then_as_given(opened, key, ascending, descending):
    assert methods(opened) == GIVEN
    for direction, order in (("ascending", ascending), ("descending", descending), ("none", range(4))):
        heading(opened, key).find_element(By.TAG_NAME, "button").click()
        assert heading(opened, key).get_attribute("aria-sort") == direction
        assert methods(opened) == [*(GIVEN[n] for n in order), "mean"]


def test_keys_sort_and_one_column_at_a_time(opened):
    heading(opened, "shots").find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert methods(opened)[1] == "padim"
    heading(opened, "ms").find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert methods(opened)[0] == "patchcore"
    directions = [heading(opened, column.key).get_attribute("aria-sort") for column in TABLE.columns]
    assert directions == ["none"] * 5 + ["ascending"]


def choose(browser: webdriver.Chrome, name: str, choice: str) -> list[int]:
    """Choose in a list of the gallery and return the exhibits that are then shown, in their order."""
    selector = "[data-sort]" if name == "order" else f"[data-filter={name}]"
    Select(browser.find_element(By.CSS_SELECTOR, f"#gallery1 {selector}")).select_by_visible_text(choice)
    paths = [exhibit.path for exhibit in EXHIBITS]
    return [paths.index(path) for path in texts(browser, "#gallery1 .card:not([hidden]) .path")]


def test_a_gallery_shows_what_is_chosen_and_counts_it(opened):
    def count():
        return opened.find_element(By.CSS_SELECTOR, "#gallery1 output").text

    assert count() == "6 of 6"
    assert choose(opened, "category", "cup") == [0, 1, 2]
    assert choose(opened, "defect", "crack") == [1, 2]
    assert choose(opened, "outcome", "missed") == [2]
    assert count() == "1 of 6"
    assert choose(opened, "method", "winclip") == []
    assert count() == "0 of 6"
    assert choose(opened, "method", "padim") == [2]
    assert choose(opened, "outcome", "all outcomes") == [2]
    assert choose(opened, "method", "all methods") == [1, 2]
    hidden = opened.find_elements(By.CSS_SELECTOR, "#gallery1 .card")
    assert [card.is_displayed() for card in hidden] == [False, True, True, False, False, False]


def test_defects_offered_are_those_of_the_category(opened):
    def offered():
        return texts(opened, "#gallery1 [data-filter=defect] option")

    assert offered() == ["all defects", "good", "crack", "scratch"]
    choose(opened, "category", "cup")
    assert choose(opened, "defect", "good") == [0]
    assert offered() == ["all defects", "good", "crack"]
    assert choose(opened, "category", "lid") == [3]  # still good ones
    assert offered() == ["all defects", "good", "scratch"]
    choose(opened, "defect", "scratch")
    assert choose(opened, "category", "cup") == [0, 1, 2]  # no cup has a scratch
    assert choose(opened, "category", "all categories") == [0, 1, 2, 3, 4, 5]
    assert offered() == ["all defects", "good", "crack", "scratch"]


def test_a_gallery_is_sorted_by_score(opened):
    assert choose(opened, "order", "score, low to high") == [5, 2, 0, 1, 4, 3]
    assert choose(opened, "category", "lid") == [4, 3]
    assert choose(opened, "order", "score, high to low") == [3, 4]
    assert choose(opened, "category", "all categories") == [3, 4, 1, 0, 2, 5]
    assert choose(opened, "order", "as given") == [0, 1, 2, 3, 4, 5]


def looks(browser: webdriver.Chrome) -> tuple[str, str, list[str]]:
    """Return the colours of background and text, and the themes of the figures shown."""
    script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    shown = [i for i in browser.find_elements(By.CSS_SELECTOR, "figure img") if i.is_displayed()]
    background, ink = browser.execute_script(script)
    return background, ink, [image.get_attribute("class") for image in shown]


def await_looks(browser: webdriver.Chrome, expected: tuple[str, str, list[str]]) -> None:
    """Wait until the page follows the preference of the system."""
    WebDriverWait(browser, 20, 0.05).until(lambda _: looks(browser) == expected, f"not {expected}")


@pytest.fixture
def served(report: Path) -> Iterator[str]:
    """The address of the page on a server: Chromium may lose what a page of file:// stores or clears."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=report)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/report.html"
        server.shutdown()


def test_the_switch_changes_colours_and_figures_and_is_remembered(served, opened):
    opened.get(served)
    light, dark = (
        ("rgb(247, 248, 249)", "rgb(28, 32, 36)", ["light"]),
        ("rgb(18, 21, 24)", "rgb(228, 231, 235)", ["dark"]),
    )
    switch = By.CSS_SELECTOR, ".theme-switch"
    assert looks(opened) == light
    preferring(opened, "dark")
    await_looks(opened, dark)  # what the system prefers
    opened.find_element(*switch).click()
    assert looks(opened) == light
    opened.refresh()
    await_looks(opened, light)  # what was chosen
    assert opened.find_element(*switch).get_attribute("aria-checked") == "false"
    opened.find_element(*switch).send_keys(Keys.SPACE)
    preferring(opened, "light")
    assert looks(opened) == dark
    assert opened.find_element(*switch).get_attribute("aria-checked") == "true"


def test_the_next_visit_finds_the_choice(served, opened):
    opened.get(served)
    opened.find_element(By.CSS_SELECTOR, ".theme-switch").click()
    opened.get("about:blank")
    opened.get(served)
    assert opened.execute_script("return history.state") is None
    assert looks(opened)[2] == ["dark"]


def test_a_page_that_may_not_store_anything_still_switches(opened):
    address = opened.current_url
    script = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no') }})"
    made = opened.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    opened.refresh()
    opened.find_element(By.CSS_SELECTOR, ".theme-switch").click()
    assert looks(opened)[2] == ["dark"]
    opened.refresh()
    assert looks(opened)[2] == ["dark"]
    opened.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
    opened.get("about:blank")
    opened.get(address)
    assert looks(opened)[2] == ["light"]


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(opened, width, theme):
    sized(opened, width)
    preferring(opened, theme)
    page, seen, window = opened.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth, innerWidth]"
    )
    assert page == seen  # which is narrower than the window by the scroll bar
    assert window == width


def test_a_wide_table_scrolls_and_keeps_its_first_column(opened):
    sized(opened, 400)
    left, scrolled = opened.execute_script(
        "const box = document.querySelector('.scroll'); box.scrollLeft = 100;"
        "const cell = document.querySelector('#table1 tbody th');"
        "return [cell.getBoundingClientRect().left - box.getBoundingClientRect().left, box.scrollLeft]"
    )
    assert scrolled == 100
    assert left == 1  # the border's


def test_every_image_is_there_and_says_what_it_shows(opened):
    opened.execute_async_script(
        "Promise.all([...document.images].map((image) => image.decode())).then(arguments[0])"
    )
    images = opened.execute_script(
        "return [...document.images].map((i) => [i.alt, i.naturalWidth, i.naturalHeight])"
    )
    assert images[:2] == [["Good samples help", 480, 288]] * 2
    assert images[2] == ["cup, good: passed", 120, 40]
    assert [image[1:] for image in images[2:]] == [[120, 40]] * 6


def test_markup_from_people_is_text(opened):
    assert opened.title == f"Ten ways {MARKUP}"
    assert texts(opened, "#section-results > .text p") == ["A first paragraph.", f"{MARKUP} & more."]
    assert choose(opened, "category", MARKUP) == [5]
    assert opened.execute_script("return document.scripts.length") == 1


def test_the_page_stands_alone(opened, report):
    text = (report / "report.html").read_text()
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    assert str(report) not in text
    refused = "return fetch('data:,').then(() => 'fetched', (error) => error.name)"
    assert opened.execute_script(refused) == "TypeError"
    assert "Content Security Policy" in opened.get_log("browser")[0]["message"]
