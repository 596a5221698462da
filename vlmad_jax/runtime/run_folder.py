"""The folder of a run: it belongs to one configuration, so that a run that was stopped can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json

CONFIG = "config.json"


def take_folder(
    out: Path, config: dict[str, Any], outputs: Sequence[str], resume: bool, changing: Sequence[str] = ()
) -> None:
    """Takes a folder for a run of this configuration, which is written there.

    With `resume`, what an earlier run of the same configuration left is kept; without, its `outputs` are
    removed, files and folders in `out` by name. Entries named in `changing` may differ.

    Raises:
      InputError: the folder holds files of something else or, with `resume`, a run of another configuration;
        or it cannot be written.
    """
    path = out / CONFIG
    if not path.exists():
        for name in outputs:
            if (out / name).exists() and not path.exists():  # another process may have begun the same run
                raise InputError(f"{out / name}: is not of a run that is known; give another --out")
        write_json(path, config)
        return
    there = read_json(path)
    if not isinstance(there, dict) or there.keys() != config.keys():
        raise InputError(f"{path}: is not the configuration of such a run; give another --out")
    if resume:
        for key in config:
            if there[key] != config[key] and key not in changing:
                raise InputError(
                    f"{out}: holds a run with {key} {there[key]} where this one has {config[key]}; "
                    "give another --out, or --noresume to replace it"
                )
        if there != config:
            write_json(path, config)
        return
    remove_outputs(out, outputs)
    write_json(path, config)


def read_json(path: Path) -> dict[str, Any]:
    """What a run wrote; raises InputError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error}); run again with --noresume") from error


def remove_outputs(out: Path, outputs: Sequence[str]) -> None:
    """Removes files and folders of a run by their names in `out`; raises InputError where it cannot."""
    try:
        for path in map(out.joinpath, outputs):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be replaced ({error.strerror}); give another --out") from error
