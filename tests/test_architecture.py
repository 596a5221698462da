"""Imports run one way, files stay short, and the top of the package stays empty."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vlmad_jax

PACKAGE = Path(vlmad_jax.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "experiments" not in path.relative_to(PACKAGE).parts)
# A room may import from the rooms before it, never from those after it; within brackets, from neither.
ROOMS = (
    ["errors"],
    ["runtime"],
    ["backbones", "metrics", "synthetic"],
    ["scoring", "data", "report"],
    ["methods"],
    ["evaluation"],
    ["training"],
    ["studies", "benchmark", "inspection", "pretraining"],
    ["commands"],
)


def room_of(module: str) -> str | None:
    """The room that a module of the package is in; None for the package itself and other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "vlmad_jax" and len(parts) > 1 else None


def imported(path: Path) -> set[str]:
    """The rooms that a file imports from, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {room_of(name.name) for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "vlmad_jax":
            found |= {name.name for name in node.names if (PACKAGE / name.name).is_dir()}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(room_of(node.module))
    return {room for room in found if room}


def graph() -> dict[str, set[str]]:
    """Each room with the rooms that it imports from."""
    rooms: dict[str, set[str]] = {}
    for path in FILES:
        first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if first not in ("__init__", "__main__"):
            rooms.setdefault(first, set()).update(imported(path) - {first})
    return rooms


def test_rooms_import_in_no_circle() -> None:
    order = list(TopologicalSorter(graph()).static_order())
    assert set(order) == {room for level in ROOMS for room in level}
    with pytest.raises(CycleError):
        list(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


def test_imports_run_downwards() -> None:
    level = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    against = {
        (room, other) for room, others in graph().items() for other in others if level[other] >= level[room]
    }
    assert not against


def test_no_file_is_long() -> None:
    long = {str(path): n for path in FILES if (n := len(path.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_the_top_of_the_package_holds_three_modules() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}
