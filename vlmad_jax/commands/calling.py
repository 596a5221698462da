"""The form in which the running command was called, so that messages name commands in the same form."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

# The text before the name of a command that `vlmad` started; None for any other start.
PREFIX: str | None = None
# A command in a text: "experiments.fit" or "python -m experiments.fit", but not a part of a path.
NAMED = re.compile(r"(?<![\w./\\-])(?:python -m )?experiments\.([a-z_]+)(?![\w/\\]|\.\w)")


def prefix() -> str:
    """Return the text to type before the name of a command: "python -m experiments." in a clone."""
    if PREFIX is not None:
        return PREFIX
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.count("."):
        return f"python -m {spec.name.rpartition('.')[0]}."
    folder = Path(sys.argv[0]).parent
    return f"python {folder}{os.sep}" if Path(sys.argv[0]).suffix == ".py" else "python -m experiments."


def command(name: str) -> str:
    """Return how to call a command: "python -m experiments.fit", "vlmad fit", "python experiments/fit.py"."""
    before = prefix()
    return f"{before}{name}.py" if before.endswith(os.sep) else before + name


def own_name() -> str:
    """Return the name of the running command."""
    return Path(sys.argv[0]).stem


def rename_commands(text: str) -> str:
    """Return a text in which every command is named in the form in which this one was called."""
    if prefix() == "python -m experiments.":
        return text
    return NAMED.sub(lambda found: command(found[1]), text)
