"""The one exception for input that a person can mend, and lists of names in its line."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: its message is one line that names the culprit and the remedy.

    Library code raises it; the experiments print it without a traceback and exit with 1.
    """


def few(names: Iterable[str], most: int = 3) -> str:
    """The first names, and how many more there are: one line, however many there are.

    >>> few(["a", "b"]), few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    shown = list(names)
    left = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {left} more" if left > 0 else "")
