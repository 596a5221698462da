"""The README and the pages of docs/: short, without dead links, and made of commands that exist."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.experiments.command import ROOT, there
from vlmad_jax.evaluation.trained_on import BY_CONTENT, BY_NAME
from vlmad_jax.methods import BATCHED, METHODS, MRAD, Batched, Detector, MethodOptions
from vlmad_jax.methods.detector import TextDetector
from vlmad_jax.methods.system import System

PAGES = [ROOT / "README.md", ROOT / "weights/README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_first_screen_is_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len((ROOT / "weights/README.md").read_text().splitlines()) <= 60
    assert (ROOT / "docs/heat_maps.webp").stat().st_size < 200_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http", "<")):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_flags_exist(page: Path) -> None:
    commands = re.findall(r"python -m experiments\.(\w+)((?:\\\n|[^\n`])*)", page.read_text())
    shared = "".join(path.read_text() for path in (ROOT / "vlmad_jax/commands").glob("*.py"))
    shared += "".join(f'"{option.name}"' for option in dataclasses.fields(MethodOptions))
    for name, arguments in commands:
        source = (ROOT / f"experiments/{name}.py").read_text() + shared
        for flag in re.findall(r"(?<!\S)--(?:no)?(\w+)", arguments):
            assert re.search(rf'"(no)?{flag}"', source) or flag == "help", f"{page.name}: {name} --{flag}"


def test_every_method_has_a_row_and_a_test() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]* \| ([^|]*) \| [^|]* \|$", README)
    given = {"never": None, "if given": "references if given", "always": "references"}

    def needs(kind: type[System]) -> str:
        if not issubclass(kind, Detector):
            return "the whole set"
        clip = "a CLIP's patches" if kind is MRAD else "text"
        parts = {
            clip: issubclass(kind, TextDetector),
            "learned parameters": "params" in kind.options,
            given[kind.references]: kind.references != "never",
        }
        needed = ", ".join(str(part) for part, needed in parts.items() if needed)
        return f"{needed} or the whole set" if issubclass(kind, Batched) else needed

    systems: dict[str, type[System]] = {**METHODS, **BATCHED}
    assert dict(rows) == {name: needs(kind) for name, kind in systems.items()}
    for name in systems:
        assert (ROOT / f"tests/methods/test_{name}.py").exists()


def test_reproduce_names_what_the_authors_trained_on() -> None:
    page = (ROOT / "docs/reproduce.md").read_text()
    names = {"visa": "VisA", "mvtec_ad": "MVTec AD"}
    rows = re.findall(
        r"(?m)^\| (?:AnomalyCLIP|APRIL-GAN) `(\w+).*?` \| ([\w ]+) \| \*\*([\w ]+)\*\* \|(.*)\|$", page
    )
    assert {name: learned for name, learned, _, _ in rows} == {k: names[v] for k, v in BY_NAME.items()}
    assert all(learned != tested for _, learned, tested, _ in rows)
    digests = {start: names[x] for digest, x in BY_CONTENT.items() for start in [digest[:8]]}
    assert {digest[2:10]: learned for _, learned, _, digest in rows if digest.strip()} == digests


@pytest.mark.long
def test_the_python_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = there("-c", code)
    assert done.code == 0, done.stderr
    assert done.stdout.endswith("] (4, 256, 256)\n")
