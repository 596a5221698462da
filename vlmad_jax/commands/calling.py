"""How the running command was called, so that messages name commands in the words that work here."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

# What stands before the name of a command, where the command `vlmad` started it.
PREFIX: str | None = None
# A command as texts name it: "experiments.fit" or "python -m experiments.fit", but not a part of a path.
NAMED = re.compile(r"(?<![\w./\\-])(?:python -m )?experiments\.([a-z_]+)(?![\w/\\]|\.\w)")


def prefix() -> str:
    """What is typed before the name of a command, "python -m experiments." from a clone."""
    if PREFIX is not None:
        return PREFIX
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.count("."):
        return f"python -m {spec.name.rpartition('.')[0]}."
    folder = Path(sys.argv[0]).parent
    return f"python {folder}{os.sep}" if Path(sys.argv[0]).suffix == ".py" else "python -m experiments."


def command(name: str) -> str:
    """How a command is called here: "python -m experiments.fit", "vlmad fit", "python experiments/fit.py"."""
    before = prefix()
    return f"{before}{name}.py" if before.endswith(os.sep) else before + name


def own_name() -> str:
    """The name of the running command."""
    return Path(sys.argv[0]).stem


def in_words_of_caller(text: str) -> str:
    """The text with every command named as it is called here, where it was not called as in a clone."""
    if prefix() == "python -m experiments.":
        return text
    return NAMED.sub(lambda found: command(found[1]), text)
