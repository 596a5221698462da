"""The folder of a run. It belongs to one configuration, so an interrupted run can be resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json

CONFIG = "config.json"


def prepare_run_folder(
    out: Path, config: dict[str, Any], outputs: Sequence[str], resume: bool, changing: Sequence[str] = ()
) -> None:
    """Prepare the folder `out` for a run and store its configuration there.

    Args:
      out: The folder, which is made if necessary.
      config: The configuration of the run, JSON values by name.
      outputs: Names of the files and folders in `out` that the run writes.
      resume: Whether to keep the outputs of an earlier run of the same configuration; otherwise they are
        removed.
      changing: Names of entries of `config` that may differ from those of the earlier run.

    Raises:
      InputError: The folder holds other files, or `resume` is set and it holds a run of another
        configuration, or it cannot be written.
    """
    path = out / CONFIG
    if not path.exists():
        for name in outputs:
            if (out / name).exists() and not path.exists():  # another process may have started the same run
                raise InputError(f"{out / name}: belongs to no known run; give another --out")
        write_json(path, config)
        return
    stored = read_json(path)
    if not isinstance(stored, dict) or stored.keys() != config.keys():
        raise InputError(f"{path}: is the configuration of another kind of run; give another --out")
    if resume:
        check_same_config(out, stored, config, changing)
    else:
        remove_outputs(out, outputs)
    if stored != config or not resume:
        write_json(path, config)


def check_same_config(
    out: Path,
    stored: Mapping[str, Any],
    config: Mapping[str, Any],
    changing: Collection[str] = (),
    remedy: str = "--noresume to replace it",
) -> None:
    """Check that the run in a folder has the configuration of the present run, so that it can be resumed.

    Args:
      out: The folder.
      stored: The configuration of the run in the folder, JSON values by name.
      config: The configuration of the present run.
      changing: Names of entries that may differ.
      remedy: What the user can do other than to give another --out.

    Raises:
      InputError: Another entry differs. The message names all that do; it names fingerprints, which mostly
        follow from other entries, only if nothing else differs.
    """
    names = [name for name in {**config, **stored} if stored.get(name) != config.get(name)]
    names = [name for name in names if name not in changing]
    names = [name for name in names if not name.endswith("_fingerprint")] or names
    if names:
        differences = ", and ".join(
            f"{name} {stored.get(name)}, but this one has {config.get(name)}" for name in names
        )
        raise InputError(f"{out}: holds a run with {differences}; give another --out, or {remedy}")


def read_json(path: Path) -> dict[str, Any]:
    """Return the value of a JSON file that a run wrote.

    Raises:
      InputError: The file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error}); run again with --noresume") from error


def remove_outputs(out: Path, outputs: Sequence[str]) -> None:
    """Remove the files and folders of a run, given by their names in `out`.

    Raises:
      InputError: One of them cannot be removed.
    """
    try:
        for path in map(out.joinpath, outputs):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be replaced ({error.strerror}); give another --out") from error
