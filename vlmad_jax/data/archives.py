"""Official archives of data sets, which are extracted once into a folder beside them."""

import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.contents import digests

# The file in an extracted folder that holds the digest of the archive.
EXTRACTED = ".extracted_from"


def find_root(folder: Path, is_root: Callable[[Path], bool]) -> Path | None:
    """Return `folder` or the first of its direct subfolders that satisfies `is_root`, or None."""
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return next(filter(is_root, candidates), None)


def locate_root(data_dir: Path, archive: str, is_root: Callable[[Path], bool], layout: str) -> Path:
    """Return the root folder of a data set, after extracting its archive if necessary.

    Args:
      data_dir: The root, a folder that holds it, the archive, or a folder that holds the archive.
      archive: The name of the archive.
      is_root: Returns whether a folder is the root.
      layout: A description of the root for the error message.

    Raises:
      InputError: `data_dir` holds neither the root nor the archive, or the archive cannot be extracted.
    """
    packed = data_dir if data_dir.is_file() else data_dir / archive
    root = find_root(data_dir, is_root) if data_dir.is_dir() else None
    if packed.is_file() and (root is None or root.is_relative_to(folder_of(packed))):
        root = find_root(extract(packed), is_root)
    if root is None:
        raise InputError(f"--data_dir: {data_dir} holds neither {layout} nor {archive}")
    return root


def folder_of(archive: Path) -> Path:
    """Return the folder into which an archive is extracted."""
    return archive.with_name(archive.name.partition(".tar")[0])


def extract(archive: Path) -> Path:
    """Extract a tar archive into a folder of the same name beside it and return the folder.

    Nothing is extracted if the folder exists. Otherwise it appears only once it is complete. Members outside
    the folder are refused.

    Raises:
      InputError: The archive is damaged or has changed since it was extracted, or the folder beside it cannot
        be written.
    """
    folder = folder_of(archive)
    if folder == archive:
        raise InputError(f"--data_dir: {archive} is neither a folder nor a .tar archive")
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
            with tarfile.open(archive) as tar:
                for member in tqdm(tar, desc=f"extracting {archive.name}", unit=" files", disable=None):
                    tar.extract(member, unpacked, filter="data")
            (unpacked / EXTRACTED).write_text(content + "\n")
            unpacked.rename(folder)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise InputError(f"{archive}: cannot be extracted ({error}); download it again") from None
    except OSError as error:
        if not folder.is_dir():  # otherwise another process has extracted it
            message = (
                f"{archive}: cannot be extracted into its own folder ({error.strerror}); extract it elsewhere"
            )
            raise InputError(f"{message} and give that folder as --data_dir") from None
    return folder
