"""Users' own images in the MVTec layout, see `vlmad_jax.data.layout`."""

from pathlib import Path

from vlmad_jax.data.layout import LAYOUT, find_skipped, scan_layout
from vlmad_jax.data.source import Source, require_data_dir
from vlmad_jax.errors import InputError


def _locate(data_dir: Path | None) -> Path:
    folder = require_data_dir("folder", data_dir, f"a folder with {LAYOUT}")
    if not folder.is_dir():
        raise InputError(f"--data_dir: {folder} is not a folder; give one with {LAYOUT}")
    return folder.resolve()  # so that "." has a name if it is a category


FOLDER = Source(
    name="folder", homepage="", citation="", locate=_locate, scan=scan_layout, skipped=find_skipped
)
