"""Let MkDocs make pages of files outside docs/: the README and the card of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"index.md": "README.md", "weights.md": "weights/README.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the two files as pages, with links as seen from docs/."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        for there in ("](../docs/", "](docs/"):
            text = text.replace(there, "](")
        files.append(File.generated(config, page, content=relinked(text)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to the card of the weights to its page."""
    return relinked(markdown)


def relinked(text: str) -> str:
    """Return the text with links to pages of the site, where they lead to files outside docs/."""
    for there in ("](../weights/README.md)", "](weights/README.md)"):
        text = text.replace(there, "](weights.md)")
    return text.replace("[LICENSE](LICENSE)", "`LICENSE`")
