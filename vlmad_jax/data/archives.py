"""Official archives: found in a folder, extracted once beside themselves."""

import lzma
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.contents import digests

# In an extracted folder: the digest of the archive.
EXTRACTED = ".extracted_from"


def find_root(folder: Path, is_root: Callable[[Path], bool]) -> Path | None:
    """`folder` itself or the first of its direct subfolders that satisfies `is_root`."""
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return next(filter(is_root, candidates), None)


def locate_root(data_dir: Path, archive: str, is_root: Callable[[Path], bool], layout: str) -> Path:
    """The folder of a data set, where `data_dir` is that folder, holds it, or is or holds its archive.

    Raises InputError when nothing of the kind is there or the archive is broken.
    """
    packed = data_dir if data_dir.is_file() else data_dir / archive
    root = find_root(data_dir, is_root) if data_dir.is_dir() else None
    if packed.is_file() and (root is None or root.is_relative_to(folder_of(packed))):
        root = find_root(extract(packed), is_root)
    if root is None:
        raise InputError(f"--data_dir: {data_dir} holds neither {layout} nor {archive}")
    return root


def folder_of(archive: Path) -> Path:
    """Where an archive is extracted to."""
    return archive.with_name(archive.name.partition(".tar")[0])


def extract(archive: Path) -> Path:
    """Extract a tar archive into a folder beside it, named after it, unless that folder exists; return it.

    Members that would land outside the folder are refused. The folder appears only when it is complete.
    Raises InputError when the archive is broken, or another than the one that the folder was extracted from;
    or there is no room or no right to write beside it.
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
        if not folder.is_dir():  # else another process was quicker
            message = f"{archive}: cannot be extracted beside itself ({error.strerror}); extract it by hand"
            raise InputError(f"{message} and give the folder as --data_dir") from None
    return folder
