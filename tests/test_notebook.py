"""The notebook runs from its first cell to its last, and what is stored in it is what it prints."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.experiments.command import ROOT

NOTEBOOK = ROOT / "docs/first_steps.ipynb"


def printed(notebook: Any) -> tuple[str, int]:
    """What its cells print, and how many images they show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    streams = [output for output in outputs if output.output_type == "stream"]
    text = "".join(output.text for output in streams if output.name == "stdout")
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


def test_it_is_small_and_without_errors() -> None:
    nbformat = pytest.importorskip("nbformat")  # extra test
    assert NOTEBOOK.stat().st_size < 300_000
    text, images = printed(nbformat.read(NOTEBOOK, 4))
    assert images == 1
    assert "references 0." in text


@pytest.mark.long
def test_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import nbclient
    import nbformat

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, 4)
    stored = printed(notebook)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=os.fspath(tmp_path))
    text, images = printed(notebook)
    assert images == stored[1]
    # The last digit may differ between processors.
    one, other = ([line.split()[:-1] for line in x.splitlines()] for x in (text, stored[0]))
    assert one == other
