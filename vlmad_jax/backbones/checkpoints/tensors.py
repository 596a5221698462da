"""Read and write the tensors of a checkpoint by name: safetensors, `torch.save` files, shards of either."""

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.errors import InputError, few

# The files to look for in a directory, in this order. One directory may have both layouts.
_LAYOUTS: dict[str, tuple[str, ...]] = {
    "transformers": (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ),
    "open_clip": (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
        "open_clip_pytorch_model.pth",
        "open_clip_pytorch_model.pt",
    ),
}
_TORCH_SUFFIXES = (".bin", ".pth", ".pt")
# The entries of training checkpoints that hold a state dict, beside the optimiser's state and others.
_BELOW = ("state_dict", "model_state_dict", "model", "module")


def read_tensors(path: str | Path, layout: str = "transformers") -> dict[str, np.ndarray]:
    """Read all tensors of a checkpoint.

    Args:
        path: A directory, or one file: `.safetensors`, `.bin`, `.pth`, `.pt` or the `.index.json` of shards.
        layout: The layout of a directory, "transformers" or "open_clip".

    Returns:
        Arrays by name in the dtype of the file (bfloat16 as `ml_dtypes.bfloat16`), maybe read-only.

    Raises:
        InputError: There is no file, or it is damaged or unsafe, or shards disagree with their index.
    """
    path = Path(path)
    if path.is_dir():
        path = _find(path, layout)
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    return _read_file(path)


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as safetensors with the metadata that transformers expects.

    The file appears complete or not at all, because it is written under a temporary name and renamed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # The library writes raw memory, so that views must be contiguous and scalars zero-dimensional.
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # the library may restrict it
        save_file(contiguous, temporary, metadata={"format": "pt"})
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _find(directory: Path, layout: str) -> Path:
    if layout not in _LAYOUTS:
        raise InputError(f"unknown weights layout {layout!r}: use one of {', '.join(_LAYOUTS)}")
    for name in _LAYOUTS[layout]:
        if (directory / name).is_file():
            return directory / name
    trained = sorted(directory.glob("*.pt")) if layout == "open_clip" else []
    if len(trained) == 1:  # epoch_32.pt, as open_clip's training calls it
        return trained[0]
    raise InputError(f"{directory}: has no weights: put one of {', '.join(_LAYOUTS[layout])} there")


def _read_file(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such file: check the path or download it again")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in _TORCH_SUFFIXES:
        return _named_tensors(path, read_torch_file(path))
    raise InputError(f"{path}: unknown kind of file: use .safetensors, {', '.join(_TORCH_SUFFIXES)}")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: is truncated or damaged: download it again") from error
    except (
        AttributeError,
        TypeError,
        KeyError,
    ) as error:  # how numpy's side of the library meets float8 and the like
        raise InputError(f"{path}: holds a number type that numpy lacks: convert it to float32") from error


def _named_tensors(path: Path, content: Any) -> dict[str, np.ndarray]:
    """Return the state dict in a `torch.save` file, which may be in an entry of `_BELOW`."""
    for _ in range(3):  # {"model": {"state_dict": ...}}
        if isinstance(content, dict):
            content = next((x for name in _BELOW if isinstance(x := content.get(name), dict)), content)
    if not isinstance(content, dict):
        raise InputError(f"{path}: has no named tensors: save a state_dict()")
    for name, tensor in content.items():
        if not (isinstance(name, str) and isinstance(tensor, np.ndarray)):
            raise InputError(f"{path}: entry {ascii(name)[:100]} is no named tensor: save a state_dict()")
    return content


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    """Read all tensors of an `.index.json`, which must agree with its shards both ways."""
    weight_map = _weight_map(index)
    tensors: dict[str, np.ndarray] = {}
    for shard in sorted(set(weight_map.values())):
        file = index.with_name(shard)
        found = _read_file(file)
        expected = {name for name, home in weight_map.items() if home == shard}
        if missing := sorted(expected - found.keys()):
            raise InputError(f"{file}: lacks {_listed(missing)} of {index.name}: download both again")
        if extra := sorted(found.keys() - expected):
            raise InputError(f"{file}: holds {_listed(extra)}, not in {index.name}: download both again")
        tensors |= found
    return tensors


def _weight_map(index: Path) -> dict[str, str]:
    """Return the file name of each tensor's shard; shards are beside their index and of one kind."""
    try:
        weight_map = json.loads(index.read_text("utf-8"))["weight_map"]
        shards = set(weight_map.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index}: is no index of shards (no weight_map): download it again") from error
    suffix = Path(index.name.removesuffix(".index.json")).suffix
    for shard in shards:
        if not isinstance(shard, str) or "\\" in shard or PurePosixPath(shard).name != shard:
            raise InputError(
                f"{index}: shard {ascii(shard)[:100]} lies outside the directory: download it again"
            )
        if not shard.endswith(suffix):
            raise InputError(f"{index}: shard {ascii(shard)[:100]} is no {suffix} file: download it again")
    return weight_map


def _listed(names: list[str]) -> str:
    return few(ascii(name)[:100] for name in names)
