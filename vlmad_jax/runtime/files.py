"""Files that are whole or not there."""

import contextlib
import csv
import io
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import as_text, json_text


def write_atomically(path: str | os.PathLike[str], content: str | bytes | Iterable[bytes]) -> None:
    """Write text (UTF-8), bytes or pieces of bytes; `path` is at every moment the old file or the new, whole.

    Folders above it are made. On failure nothing is left behind; raises InputError where the operating system
    refuses (no room, no permission, a folder of that name).
    """
    path = Path(path)
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogateescape")
    pieces = (content,) if isinstance(content, bytes) else content
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as JSON, keys in the order given, indented, with a newline at the end.

    Names that are not UTF-8 are escaped, and read back as the same names.

    Raises InputError for NaN and infinities, which JSON does not have.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path}: holds NaN or an infinity; write null where undefined") from error
    write_atomically(path, json_text(text) + "\n")


def csv_line(values: Sequence[Any]) -> str:
    """A row of CSV that ends in a newline; a line break of any kind within a value is quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def walk(
    root: str | os.PathLike[str],
    refused: Callable[[OSError], None] | None = None,
    closed: Callable[[str], bool] | None = None,
) -> Iterator[tuple[str, list[str] | None]]:
    """`root` and each folder below it, with the names of its files, sorted; hidden folders are passed over.

    Links are followed, but not in circles: a folder that was there before, by whatever path, comes with None
    for its names. `refused` is told what cannot be listed. `closed` says of the real path of a folder below
    `root` that it is not entered, as if it had been there before.
    """
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(os.fspath(root), onerror=refused, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        real = os.path.realpath(folder)
        if real in seen or (seen and closed and closed(real)):
            subfolders.clear()
            yield folder, None
            continue
        seen.add(real)
        yield folder, sorted(names)


def leads_up(root: str | os.PathLike[str]) -> Callable[[str], bool]:
    """Whether a real path is that of a folder which `root` lies in: `walk` would soon find no end of it."""
    start = os.path.realpath(root)
    return lambda real: start.startswith(os.path.join(real, ""))


@contextlib.contextmanager
def plain_path(path: Path) -> Iterator[Path]:
    """The absolute path, or one that leads to it, good within the block, where a folder's name is not UTF-8.

    The last part of the path has to be UTF-8; the folders above it are made.
    """
    path = path.absolute()
    if as_text(str(path)) == str(path):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "link")
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name
