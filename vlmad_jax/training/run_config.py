"""The configuration file in a run's folder, with which a run is resumed only by the same configuration."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import jax

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.run_folder import check_same_config


def save_or_check_config(
    path: pathlib.Path, config: Mapping[str, Any], changing: Collection[str] = ()
) -> None:
    """Write the configuration of a new run to `path`, or check that of the run there.

    Args:
      path: The JSON file, in the run's folder.
      config: The values that the run depends on, by name.
      changing: The names of values that may change when the run is resumed.

    Raises:
      InputError: The folder has a run with other values, or a run without such a file.
    """
    here = json.loads(json.dumps(config))
    if path.exists():
        try:
            there = dict(json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: cannot be parsed ({error}); give another --out") from error
        check_same_config(path.parent, there, here, changing, "the flags of that run")
    elif any((path.parent / name).exists() for name in ("checkpoints", "log.jsonl", "params")):
        raise InputError(f"{path.parent}: has files of a run, but no {path.name}; give another --out")
    if jax.process_index() == 0:
        write_json(path, here)
