"""Names of files and folders: comparing them, printing them, and finding them on disk.

A name on disk is bytes. Python decodes it as UTF-8, and each byte that is not UTF-8 (in a Latin-1 name, for
example) becomes a lone surrogate, which only the operating system accepts. A name can also have several
spellings in Unicode: macOS writes "é" as two characters (NFD), other systems as one (NFC).
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

_CONTROL = ("Cc", "Zl", "Zp")  # control characters, line separators and paragraph separators


def nfc(name: str) -> str:
    """Return a name in NFC, the spelling in which names are compared."""
    return unicodedata.normalize("NFC", name)


def lookup_name(wanted: str, known: Mapping[str, T]) -> T | None:
    r"""Return the value of a name in `known`, or else of its only other spelling, or None.

    >>> lookup_name("e\u0301", {"\u00e9": 1, "e": 2})
    1
    """
    if wanted in known:
        return known[wanted]
    same = [value for name, value in known.items() if nfc(name) == nfc(wanted)]
    return same[0] if len(same) == 1 else None


def decode_name(name: str) -> str:
    r"""Return a name as text in NFC. A name that is not UTF-8 is decoded as Latin-1, which never fails.

    >>> decode_name("pi\udce8ce")
    'pièce'
    """
    if _is_utf8(name):
        return nfc(name)
    return nfc(name.encode("utf-8", "surrogateescape").decode("latin-1"))


def one_line(text: str) -> str:
    r"""Return a text with line breaks and control characters escaped as Python escapes them.

    >>> one_line("a\nb")
    'a\\nb'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(x) if unicodedata.category(x) in _CONTROL else x for x in text)


def printable(text: str) -> str:
    """Return a text on one line that can be printed and encoded anywhere."""
    return escape_bytes(one_line(text))


def escape_bytes(text: str) -> str:
    r"""Return a text in which each byte that is not UTF-8 is escaped, for example as "\xe9"."""
    return text if _is_utf8(text) else "".join(_escaped_surrogate(x) if _is_surrogate(x) else x for x in text)


def escape_surrogates(text: str) -> str:
    """Return JSON text with lone surrogates escaped: it is UTF-8, and parsing it restores the names."""
    return text if _is_utf8(text) else "".join(f"\\u{ord(x):04x}" if _is_surrogate(x) else x for x in text)


def allow_any_name_in_output() -> None:
    r"""Make stdout and stderr accept every name from now on.

    If stdout is a file or a pipe, it receives the original bytes of a name. A terminal and stderr, which
    people read, receive an escape such as "\xe9" for each byte that is not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        raw = stream is sys.stdout and not _is_terminal(stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_RAW if raw else _ESCAPED)


_RAW, _ESCAPED = "vlmad_jax.raw", "vlmad_jax.escaped"


def _raw(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle an encoding error: write a lone surrogate as its byte, and escape other characters."""
    return _handled(error, raw=True)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle an encoding error: escape the character."""
    return _handled(error, raw=False)


def _handled(error: UnicodeError, raw: bool) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if raw and _is_byte(letter):
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return escape_bytes(letter) if _is_surrogate(letter) else _escaped(letter), error.start + 1


codecs.register_error(_RAW, _raw)
codecs.register_error(_ESCAPED, _escape)


def _is_terminal(stream: TextIO) -> bool:
    with contextlib.suppress(ValueError, OSError):  # the stream is closed
        return stream.isatty()
    return False


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any(map(_is_surrogate, text))


def _is_surrogate(letter: str) -> bool:
    return "\ud800" <= letter <= "\udfff"


def _is_byte(letter: str) -> bool:
    return "\udc80" <= letter <= "\udcff"


def _escaped_surrogate(lone: str) -> str:
    return f"\\x{ord(lone) - 0xDC00:02x}" if _is_byte(lone) else _escaped(lone)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def find_path(root: str | os.PathLike[str], relative: str, listings: dict[str, dict[str, str]]) -> str | None:
    """Return the path of a file below `root` in the spelling that it has on disk, or None if it is missing.

    Args:
      root: The folder of the file.
      relative: The path below `root`, with forward slashes, in any spelling of Unicode.
      listings: Folders that were listed earlier, by path; it is extended.
    """
    path = os.path.join(root, relative)
    if os.path.exists(path):
        return path
    path = os.fspath(root)
    for part in relative.split("/"):
        if path not in listings:
            listings[path] = _listed(path)
        name = lookup_name(part, listings[path])
        if name is None:
            return None
        path = os.path.join(path, name)
    return path


def _listed(folder: str) -> dict[str, str]:
    with contextlib.suppress(OSError):
        return {name: name for name in (*os.listdir(folder), ".", "..")}
    return {}
