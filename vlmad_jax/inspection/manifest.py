"""A directory with a manifest: written whole or not at all, and refused when a file was cut short or altered.

manifest.json      the files with their sizes and sha256, and the sha256 of that list
environment.json   versions and machine; not in the list, so that equal detectors have equal checksums
anything else      the files that `write_saved` was given

Reading executes nothing: arrays are safetensors, everything else is JSON, text or an image.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.environment import FILE as ENVIRONMENT
from vlmad_jax.runtime.files import write_atomically, write_json

MANIFEST = "manifest.json"
KIND = "vlmad_jax detector"
FORMAT = 1
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")  # a file in the directory, or in a folder of it


def check_out(out: Path, overwrite: bool) -> None:
    """Raise InputError unless a detector may be written to `out`.

    Only a saved detector is replaced, and only with `overwrite`.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not _is_ours(out):
        raise InputError(f"--out={out}: exists and is not a saved detector; give another name")
    if not overwrite:
        raise InputError(f"--out={out}: exists already; give another name, or --overwrite to replace it")


def write_saved(out: Path, files: Mapping[str, bytes], overwrite: bool = False) -> str:
    """Write a directory of files, by name, with a manifest, and return its checksum.

    The directory is written under a temporary name and renamed, so that `out` is whole or absent.

    Raises:
      InputError: `check_out` refuses `out`, or it cannot be written.
    """
    check_out(out, overwrite)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(8)}.tmp")
    listed = {
        name: {"bytes": len(data), "sha256": _sha256(data)}
        for name, data in sorted(files.items())
        if name != ENVIRONMENT
    }
    checksum = _checksum(listed)
    try:
        for name, data in files.items():
            write_atomically(temporary / name, data)
        manifest = {"kind": KIND, "format": FORMAT, "files": listed, "sha256": checksum}
        write_json(temporary / MANIFEST, manifest)
        with _set_aside(out):
            temporary.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return checksum


def verify(path: Path) -> str:
    """Return the checksum of a saved detector after checking that its files are present and unchanged.

    Raises:
      InputError: a file was cut short, altered or lost; the message names the first.
    """
    manifest = _manifest(path)
    files, checksum = manifest["files"], manifest["sha256"]
    remedy = "copy the directory again, or fit again"
    if manifest["format"] != FORMAT:
        raise InputError(f"{path}: has format {manifest['format']}, not {FORMAT}; fit again")
    if _checksum(files) != checksum:
        raise InputError(f"{path / MANIFEST}: was altered (its checksum differs); {remedy}")
    for name, entry in files.items():
        file = path / name
        if not _NAME.fullmatch(name) or ".." in name or not file.is_file():
            raise InputError(f"{file}: is missing; {remedy}")
        if file.stat().st_size != entry["bytes"]:
            held = f"holds {file.stat().st_size:,} bytes, not {entry['bytes']:,}"
            raise InputError(f"{file}: {held}; {remedy}")
        with open(file, "rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != entry["sha256"]:
                raise InputError(f"{file}: was altered (its checksum differs); {remedy}")
    return checksum


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise InputError(f"{path}: no such detector; make one with experiments.fit")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if (
            manifest["kind"] == KIND
            and isinstance(manifest["format"], int)
            and isinstance(manifest["sha256"], str)
            and all(entry.keys() == {"bytes", "sha256"} for entry in manifest["files"].values())
        ):
            return manifest
    except FileNotFoundError:
        raise InputError(
            f"{path}: is not a saved detector (it has no {MANIFEST}); make one with experiments.fit"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise InputError(f"{path / MANIFEST}: is damaged; copy the directory again, or fit again")


def _is_ours(path: Path) -> bool:
    with contextlib.suppress(InputError):
        return bool(_manifest(path))
    return False


@contextlib.contextmanager
def _set_aside(out: Path):
    """Move `out` aside during a block; delete it when the block succeeds, restore it when the block fails."""
    if not out.exists():
        yield
        return
    aside = out.with_name(f".{out.name}.{secrets.token_hex(8)}.old")
    out.rename(aside)
    try:
        yield
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checksum(files: Mapping[str, Any]) -> str:
    return _sha256(json.dumps([FORMAT, files], sort_keys=True).encode())
