"""Learned prompts on disk: folders of ours (orbax, with the setting beside it), and the authors' files."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.clip.model import CLIP
from vlmad_jax.clip.torch_file import read_torch_file
from vlmad_jax.errors import InputError
from vlmad_jax.files import write_json

SETTING_FILE = "prompts.json"
DEEP = re.compile(r"compound_prompts_text\.(\d+)")
# Entries of the authors' files that the backbone already holds, or that their code never reads.
KNOWN = re.compile(
    r"ctx_(pos|neg)|token_(prefix|suffix)_(pos|neg)|tokenized_prompts_(pos|neg)"
    r"|compound_prompts_text\.\d+|compound_prompt_projections\.\d+\.(weight|bias)"
)


def save_prompts(
    directory: pathlib.Path, params: dict[str, Any], method: str, setting: dict[str, Any], clip: CLIP
) -> None:
    """Writes learned parameters with orbax to `directory/params`, and beside it what they belong to."""
    import orbax.checkpoint as ocp

    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save((directory / "params").absolute(), jax.tree.map(np.asarray, params), force=True)
    described = {"method": method, "setting": setting, "weights": clip.name, "backbone": clip.identity}
    if jax.process_index() == 0:
        write_json(directory / SETTING_FILE, described)


def is_directory_of_ours(path: pathlib.Path) -> bool:
    """Whether `path` is to be read as `save_prompts` writes, and not as a `.pth` file of the authors."""
    return not (path.is_file() or path.suffix in (".pth", ".pt"))


def read_description(directory: pathlib.Path) -> dict[str, Any]:
    """What `save_prompts` wrote beside the parameters; raises InputError where it did not."""
    path = pathlib.Path(directory) / SETTING_FILE
    try:
        described = json.loads(path.read_text())
        if isinstance(described["setting"], dict) and {"method", "weights", "backbone"} <= described.keys():
            return described
    except FileNotFoundError:
        raise InputError(
            f"{directory}: holds no {SETTING_FILE}; give the params of experiments.train, or a .pth file"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path}: is damaged; copy it again from the training run")


def load_prompts(directory: pathlib.Path, method: str, setting: dict[str, Any], clip: CLIP) -> dict[str, Any]:
    """The parameters that `save_prompts` wrote, float32.

    Raises:
      InputError: nothing readable there, or they were trained with another method, backbone or setting.
    """
    import orbax.checkpoint as ocp

    directory = pathlib.Path(directory)
    described = read_description(directory)
    there = {"method": described["method"], **described["setting"]}
    here = {"method": method, **setting}
    # The blur comes after all that is learned.
    differing = [k for k in {**there, **here} if k != "blur_sigma" and there.get(k) != here.get(k)]
    if differing:
        differences = ", ".join(f"{k} {there.get(k)} there and {here.get(k)} here" for k in differing)
        raise InputError(f"{directory}: was trained with {differences}; use the setting it was trained with")
    if described["backbone"] != clip.identity:
        raise InputError(
            f"{directory}: was trained with the backbone {described['weights']} ({described['backbone']}), "
            f"not {clip.name} ({clip.identity}); give --weights={described['weights']}"
        )
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore((directory / "params").absolute())
    except Exception as error:  # orbax raises what its storage raises
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"{directory / 'params'}: does not load ({reason}); copy it again") from error
    return {name: jnp.asarray(np.asarray(x)) for name, x in restored.items()}


def load_authors_prompts(path: pathlib.Path, clip: CLIP) -> dict[str, Any]:
    """The parameters in a `.pth` file of AnomalyCLIP's code.

    Deep tokens are rounded to float16, as that code does whenever it uses them.

    Raises:
      InputError: a damaged or hostile file; other names than expected; or a file of another backbone.
    """
    path = pathlib.Path(path)
    content = read_torch_file(path)
    learner = content.get("prompt_learner") if isinstance(content, dict) else None
    if not isinstance(learner, dict) or not all(isinstance(x, np.ndarray) for x in learner.values()):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(
            f"{path}: expected an entry prompt_learner of named tensors, found {found[:100]}; "
            "give a checkpoint of AnomalyCLIP's training"
        )
    deep = sorted((int(match[1]), name) for name in learner if (match := DEEP.fullmatch(name)))
    expected = ["ctx_pos", "ctx_neg", *(f"compound_prompts_text.{n}" for n in range(len(deep)))]
    wrong = [name for name in learner if not KNOWN.fullmatch(name)]
    missing = [name for name in expected if name not in learner]
    if wrong or missing or not deep:
        raise InputError(
            f"{path}: expected ctx_pos, ctx_neg and compound_prompts_text.0 and on, found "
            f"{', '.join(sorted(learner))[:200]}; give a checkpoint of AnomalyCLIP's training"
        )
    check_backbone(path, learner, clip)
    rounded = [learner[name].astype(np.float16).astype(np.float32) for _, name in deep]
    tokens = {name: learner[name] for name in ("ctx_pos", "ctx_neg")}
    if (
        any(x.ndim != 4 or x.shape[:2] != (1, 1) for x in tokens.values())
        or len({x.shape for x in rounded}) > 1
    ):
        shapes = ", ".join(f"{name} {learner[name].shape}" for name in expected)
        raise InputError(
            f"{path}: expected ctx_pos and ctx_neg (1, 1, n, D) and deep tokens (m, D), found {shapes}; "
            "give a checkpoint of AnomalyCLIP's training"
        )
    return {
        "normal": jnp.asarray(tokens["ctx_pos"][0, 0], jnp.float32),
        "anomalous": jnp.asarray(tokens["ctx_neg"][0, 0], jnp.float32),
        "deep": jnp.asarray(np.stack(rounded)),
    }


def check_backbone(path: pathlib.Path, learner: dict[str, np.ndarray], clip: CLIP) -> None:
    """Raises InputError unless the start token that the file keeps is the backbone's, to float16 rounding."""
    start = learner.get("token_prefix_pos")
    if start is None or clip.tokenizer is None:
        return
    own = np.asarray(clip.params["text"]["token_embedding"], np.float32)[clip.tokenizer.bos_token_id]
    if start.shape[-1] != len(own) or np.abs(start.reshape(-1, len(own))[0] - own).max() > 1e-2:
        raise InputError(
            f"{path}: was trained with another backbone than {clip.name}: its start token has "
            f"{start.shape[-1]} numbers that are not those of this one's {len(own)}; "
            "give the weights it was trained with, openai/clip-vit-large-patch14-336 for the authors' own"
        )
