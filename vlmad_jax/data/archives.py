"""Official archives of data sets, which are extracted once into a folder beside them."""

import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.contents import digests

# The file in an extracted folder that holds the digest of the archive.
EXTRACTED = ".extracted_from"
SUFFIXES = (".tar", ".tar.gz", ".tar.xz", ".tgz", ".zip")


def find_root(folder: Path, is_root: Callable[[Path], bool]) -> Path | None:
    """Return the first folder that satisfies `is_root`, or None: `folder`, or one or two levels below it."""
    level = [folder]
    for _ in range(3):
        if (found := next(filter(is_root, level), None)) is not None:
            return found
        level = [path for above in level for path in visible_folders(above)]
    return None


def visible_folders(folder: Path) -> list[Path]:
    """Return the sorted visible subfolders of a folder; none if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def archives_in(folder: Path) -> list[str]:
    """Return the sorted names of the visible archives in a folder; none if it cannot be listed."""
    try:
        return sorted(x.name for x in folder.iterdir() if x.name.endswith(SUFFIXES) and x.name[0] != ".")
    except OSError:
        return []


def unpacked_root(data_dir: Path, archives: Sequence[str], is_root: Callable[[Path], bool]) -> Path | None:
    """Return the root folder of a data set, after extracting its archives if necessary, or None.

    Args:
      data_dir: The root, a folder that holds it, an archive, or a folder that holds the archives.
      archives: The names of the archives.
      is_root: Returns whether a folder is the root.

    Raises:
      InputError: An archive cannot be extracted.
    """
    if data_dir.is_file():
        return find_root(extract(data_dir), is_root)
    packed = [data_dir / name for name in archives if (data_dir / name).is_file()]
    root = find_root(data_dir, is_root)
    if packed and (root is None or any(root.is_relative_to(folder_of(path)) for path in packed)):
        for path in packed:
            extract(path)
        root = find_root(data_dir, is_root)
    return root


def folder_of(archive: Path) -> Path:
    """Return the folder into which an archive is extracted."""
    name = archive.name.partition(".tar")[0]
    return archive.with_name(name.removesuffix(".zip").removesuffix(".tgz"))


def extract(archive: Path) -> Path:
    """Extract a tar or zip archive into a folder of the same name beside it and return the folder.

    Nothing is extracted if the folder exists. Otherwise it appears only once it is complete. Members outside
    the folder are refused.

    Raises:
      InputError: The archive is damaged or has changed since it was extracted, or the folder beside it cannot
        be written.
    """
    folder = folder_of(archive)
    if folder == archive:
        raise InputError(f"--data_dir: {archive} is neither a folder nor a .tar archive nor a .zip archive")
    content = digests([str(archive)])[0]
    if folder.is_dir():
        marker = folder / EXTRACTED
        if marker.is_file() and marker.read_text().strip() != content:
            raise InputError(f"--data_dir: {archive} changed since it was extracted; remove {folder}")
        return folder
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f".{folder.name}.") as temporary:
            unpacked = Path(temporary) / folder.name
            unpacked.mkdir()
            if archive.suffix == ".zip":
                _extract_zip(archive, unpacked)
            else:
                _extract_tar(archive, unpacked)
            (unpacked / EXTRACTED).write_text(content + "\n")
            unpacked.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise InputError(f"{archive}: cannot be extracted ({error}); download it again") from None
    except OSError as error:
        if not folder.is_dir():  # otherwise another process has extracted it
            message = (
                f"{archive}: cannot be extracted into its own folder ({error.strerror}); extract it elsewhere"
            )
            raise InputError(f"{message} and give that folder as --data_dir") from None
    return folder


def _extract_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tqdm(tar, desc=f"extracting {archive.name}", unit=" files", disable=None):
            tar.extract(member, folder, filter="data")


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for member in tqdm(file.infolist(), desc=f"extracting {archive.name}", unit=" files", disable=None):
            parts = member.filename.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or ":" in parts[0]:
                raise zipfile.BadZipFile(f"{member.filename} is outside the folder")
            file.extract(member, folder)
