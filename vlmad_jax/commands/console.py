"""The command `vlmad`, which starts an entry point by its name from a clone or an installed wheel.

In a clone the entry points are the files of `experiments`; a wheel holds the same files as
`vlmad_jax.experiments`. They run as scripts, so that their child processes find them too.
"""

from __future__ import annotations

import ast
import difflib
import runpy
import sys
from pathlib import Path

from vlmad_jax.commands import calling
from vlmad_jax.runtime.about import citation, version

PACKAGE = Path(__file__).resolve().parents[1]


def entry_points() -> dict[str, Path]:
    """Return the files of the entry points by name."""
    folder = PACKAGE / "experiments"
    if not folder.is_dir():
        folder = PACKAGE.parent / "experiments"
    files = sorted(folder.glob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def first_line(file: Path) -> str:
    """Return the first line of a file's docstring."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def overview() -> str:
    """Return the help of `vlmad`: every command with the first line of its docstring."""
    lines = {name: calling.rename_commands(first_line(file)) for name, file in entry_points().items()}
    width = max(map(len, lines), default=0)
    listed = "\n".join(f"  {name:<{width}}  {line}" for name, line in lines.items())
    return (
        f"{calling.prefix()}COMMAND [--flags]\n\n{listed}\n\n"
        f"{calling.prefix()}COMMAND --help explains a command and lists its flags.\n"
        "--version prints the version; --cite [--method=NAME] prints the BibTeX entries to cite."
    )


def main() -> int:
    """Run the entry point that the command line names, or an option of `vlmad`; return the exit code."""
    called = Path(sys.argv[0]).stem
    calling.PREFIX = "python -m vlmad_jax " if called == "__main__" else f"{called} "
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(overview())
    elif name == "--version":
        print(version())
    elif name == "--cite":
        return cite(arguments)
    else:
        return start(name, arguments)
    return 0


def cite(arguments: list[str]) -> int:
    """Print BibTeX entries of the software and of the papers of the named methods."""
    given = " ".join(arguments).replace("--method=", " ").replace("--method", " ").replace(",", " ")
    try:
        print(citation(*given.split()))
    except KeyError as error:
        return refuse(f"--cite: unknown method {error.args[0]!r}; see {calling.prefix()}zero_shot --help")
    return 0


def start(name: str, arguments: list[str]) -> int:
    """Run an entry point as a script; it ends the process with its own exit code if that is not 0."""
    files = entry_points()
    file = files.get(name.replace("-", "_"))
    if file is None:
        near = difflib.get_close_matches(name, files, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        return refuse(f"unknown command {name!r}; {meant}{calling.prefix()}--help lists the commands")
    sys.argv = [str(file), *arguments]
    runpy.run_path(str(file), run_name="__main__")
    return 0


def refuse(reason: str) -> int:
    """Print the reason why no command runs; return exit code 1."""
    print(f"error: {reason}", file=sys.stderr)
    return 1
