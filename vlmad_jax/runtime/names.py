"""Names of files and folders: what a disk holds, what people type, and what can be printed.

A name on disk is bytes. Python decodes them as UTF-8, and a byte that is not UTF-8 (of a name written in
Latin-1, say) becomes a lone surrogate, which the operating system takes back but nothing else does. And one
name has several spellings in Unicode: macOS writes an "é" as two characters (NFD), others as one (NFC).
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import TextIO, TypeVar

T = TypeVar("T")

_ENDS_LINES = ("Cc", "Zl", "Zp")  # control characters, and what separates lines and paragraphs


def composed(name: str) -> str:
    """A name in NFC, by which names are compared."""
    return unicodedata.normalize("NFC", name)


def named(wanted: str, known: Mapping[str, T]) -> T | None:
    """What `known` holds under a name, or else under the only other spelling of that name; None if nothing.

    >>> named("e\\u0301", {"\\u00e9": 1, "e": 2})
    1
    """
    if wanted in known:
        return known[wanted]
    same = [value for name, value in known.items() if composed(name) == composed(wanted)]
    return same[0] if len(same) == 1 else None


def readable(name: str) -> str:
    """A name as text, in NFC: one that is not UTF-8 is read as Latin-1, in which every byte is a letter.

    >>> readable("pi\\udce8ce")
    'pièce'
    """
    if _is_text(name):
        return composed(name)
    return composed(name.encode("utf-8", "surrogateescape").decode("latin-1"))


def one_line(text: str) -> str:
    """A text without what would end its line or steer a terminal, which is written as Python writes it.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(x) if unicodedata.category(x) in _ENDS_LINES else x for x in text)


def shown(text: str) -> str:
    """`one_line` as any file or library takes it, see `as_text`."""
    return as_text(one_line(text))


def as_text(text: str) -> str:
    """A text in which a byte that is not UTF-8 is written as "\\xe9"."""
    return text if _is_text(text) else "".join(_spelt(x) if _is_lone(x) else x for x in text)


def json_text(text: str) -> str:
    """JSON whose lone surrogates are escaped, so that it is UTF-8 and reads back as the same names."""
    return text if _is_text(text) else "".join(f"\\u{ord(x):04x}" if _is_lone(x) else x for x in text)


def print_any_name() -> None:
    """From here on, printing fails for no name.

    A file or a pipe on standard output gets the very bytes of a name; a terminal and standard error, which
    people read, get "\\xe9" for what is not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        raw = stream is sys.stdout and not _is_terminal(stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_RAW if raw else _ESCAPED)


_RAW, _ESCAPED = "vlmad_jax.raw", "vlmad_jax.escaped"


def _raw(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler: bytes for lone surrogates, an escape for what the encoding does not have."""
    return _handled(error, raw=True)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    return _handled(error, raw=False)


def _handled(error: UnicodeError, raw: bool) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if raw and _is_byte(letter):
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return as_text(letter) if _is_lone(letter) else _escaped(letter), error.start + 1


codecs.register_error(_RAW, _raw)
codecs.register_error(_ESCAPED, _escape)


def _is_terminal(stream: TextIO) -> bool:
    with contextlib.suppress(ValueError, OSError):  # it is closed
        return stream.isatty()
    return False


def _is_text(text: str) -> bool:
    return text.isascii() or not any(map(_is_lone, text))


def _is_lone(letter: str) -> bool:
    return "\ud800" <= letter <= "\udfff"


def _is_byte(letter: str) -> bool:
    return "\udc80" <= letter <= "\udcff"


def _spelt(lone: str) -> str:
    return f"\\x{ord(lone) - 0xDC00:02x}" if _is_byte(lone) else _escaped(lone)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def found(root: str | os.PathLike[str], relative: str, listings: dict[str, dict[str, str]]) -> str | None:
    """The path of a file below `root` that a list names, in whichever spelling it is there; else None.

    `listings` remembers folders that were listed, by path.
    """
    path = os.path.join(root, relative)
    if os.path.exists(path):
        return path
    path = os.fspath(root)
    for part in relative.split("/"):
        if path not in listings:
            listings[path] = _listed(path)
        name = named(part, listings[path])
        if name is None:
            return None
        path = os.path.join(path, name)
    return path


def _listed(folder: str) -> dict[str, str]:
    with contextlib.suppress(OSError):
        return {name: name for name in (*os.listdir(folder), ".", "..")}
    return {}
