"""Files that are written atomically, and walks over folders."""

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
from vlmad_jax.runtime.names import escape_bytes, escape_surrogates


def write_atomically(path: str | os.PathLike[str], content: str | bytes | Iterable[bytes]) -> None:
    """Write text (as UTF-8), bytes or pieces of bytes, so that `path` is always the whole old or new file.

    Missing parent folders are created. A failure leaves no partial file behind.

    Raises:
      InputError: The file cannot be written: no space, no permission, or a folder of that name.
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
    """Write a value as indented JSON with its keys in the given order and a final newline.

    Names that are not UTF-8 are escaped; reading the file restores them.

    Raises:
      InputError: The value holds NaN or an infinity, or the file cannot be written.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path}: holds NaN or an infinity; write null where undefined") from error
    write_atomically(path, escape_surrogates(text) + "\n")


def csv_line(values: Sequence[Any]) -> str:
    """Return a row of CSV that ends in a newline. Values with any kind of line break are quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def walk(
    root: str | os.PathLike[str],
    on_error: Callable[[OSError], None] | None = None,
    skip: Callable[[str], bool] | None = None,
) -> Iterator[tuple[str, list[str] | None]]:
    """Yield `root` and each folder below it with the sorted names of its files. Hidden folders are skipped.

    Links are followed, but a folder is entered once: when it is reached again by another path, its names are
    None.

    Args:
      root: The folder to start from.
      on_error: Called with the error of each folder that cannot be listed.
      skip: Given the real path of a folder below `root`, returns whether to treat it as already entered.
    """
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(os.fspath(root), onerror=on_error, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        real = os.path.realpath(folder)
        if real in seen or (seen and skip and skip(real)):
            subfolders.clear()
            yield folder, None
            continue
        seen.add(real)
        yield folder, sorted(names)


def ancestors_of(root: str | os.PathLike[str]) -> Callable[[str], bool]:
    """Return a test whether a real path is a parent folder of `root`, for the argument `skip` of `walk`."""
    start = os.path.realpath(root)
    return lambda real: start.startswith(os.path.join(real, ""))


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Yield an equivalent of `path` that is valid UTF-8 inside the block, for libraries that need it.

    If a parent folder's name is not UTF-8, the yielded path leads through a temporary link, and missing
    parent folders are created. The last part of the path must be UTF-8.
    """
    path = path.absolute()
    if escape_bytes(str(path)) == str(path):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "link")
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name
