"""Where a checkpoint is: a directory on disk, or a repository on the Hugging Face hub."""

from __future__ import annotations

import json
import pathlib
import re

from vlmad_jax.errors import InputError

# The small CLIP of the project itself: found under these names from any folder.
BUNDLED = "weights/tiny"
BUNDLED_NAMES = (BUNDLED, "tiny")
# A wheel holds the weights inside of the package, a clone beside it.
PACKAGE = pathlib.Path(__file__).resolve().parents[2]
BUNDLED_DIRECTORY = next(
    (folder / BUNDLED for folder in (PACKAGE, PACKAGE.parent) if (folder / BUNDLED).is_dir()),
    PACKAGE / BUNDLED,
)
# What was learned with it, by method.
BUNDLED_PARAMS = {
    name: BUNDLED_DIRECTORY.with_name(f"tiny_{name}") for name in ("anomalyclip", "aprilgan", "coop")
}

HUB_ID = r"[\w.-]+/[\w.-]+"
SMALL_FILES = ("*.json", "*.txt")
# One set of weights is enough: the first of these that a repository holds.
TRANSFORMERS_FILES = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def locate(path_or_hub_id: str) -> pathlib.Path:
    """The directory of a checkpoint, downloaded to the hub's cache where it is not on disk.

    Raises:
      InputError: neither a directory nor a repository that can be had.
    """
    path = pathlib.Path(path_or_hub_id).expanduser()
    if path.is_dir():
        return path
    if path_or_hub_id in BUNDLED_NAMES:
        return bundled()
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
                f"{path_or_hub_id}: neither a directory nor to be had from the hub ({reason}); "
                "check the name and the network, or give a directory"
            ) from error


def check_named(weights: str | None, params: str | None) -> None:
    """Raises InputError for weights or learned parameters that are not there, before anything slow is done.

    A hub id is not looked up.
    """
    if weights is not None and weights not in BUNDLED_NAMES and not re.fullmatch(HUB_ID, weights):
        locate(weights)
    if params is not None and not pathlib.Path(params).expanduser().exists():
        raise InputError(
            f"--params={params}: no such file or folder; give a folder of experiments.train, or a "
            ".pth file of the authors"
        )


def is_bundled(path_or_hub_id: str) -> bool:
    """Whether that names the bundled weights."""
    path = pathlib.Path(path_or_hub_id).expanduser()
    return path.resolve() == BUNDLED_DIRECTORY if path.is_dir() else path_or_hub_id in BUNDLED_NAMES


def bundled() -> pathlib.Path:
    """The directory of the bundled weights."""
    if not BUNDLED_DIRECTORY.is_dir():
        raise InputError(
            f"{BUNDLED}: neither in the installed package nor beside it; install it again, or give another "
            "checkpoint"
        )
    return BUNDLED_DIRECTORY


def download(repository: str) -> str:
    """Fetches a repository's configuration, tokenizer and one set of weights; its directory."""
    import fnmatch

    from huggingface_hub import model_info, snapshot_download

    # One request without retries: when the hub is out of reach, that is told at once.
    files = [file.rfilename for file in model_info(repository, timeout=30).siblings or ()]
    directory = pathlib.Path(snapshot_download(repository, allow_patterns=list(SMALL_FILES)))
    ours = is_transformers(directory / "config.json")
    choices = TRANSFORMERS_FILES if ours else OPEN_CLIP_FILES
    wanted = [pattern for pattern in choices if fnmatch.filter(files, pattern)][:1]
    return snapshot_download(repository, allow_patterns=[*SMALL_FILES, *wanted])


def is_transformers(config: pathlib.Path) -> bool:
    """Whether a `config.json` is one of transformers: timm's repositories have another of that name."""
    try:
        return "model_type" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
