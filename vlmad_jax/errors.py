"""The exception for input that a person can correct, and a helper for lists of names in its message."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Bad input. The message is one line that names the culprit and the remedy.

    Library code raises it. The experiments print it without a traceback and exit with 1.
    """


def few(names: Iterable[str], most: int = 3) -> str:
    """Return the first `most` names as text, and the number of names that follow.

    >>> few(["a", "b"]), few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    shown = list(names)
    left = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {left} more" if left > 0 else "")
