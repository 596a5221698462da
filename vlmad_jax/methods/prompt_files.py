"""Learned prompts in files of AnomalyCLIP's code."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import jax.numpy as jnp
import numpy as np

from vlmad_jax.clip.model import CLIP
from vlmad_jax.clip.torch_file import read_torch_file
from vlmad_jax.errors import InputError

DEEP = re.compile(r"compound_prompts_text\.(\d+)")
# Entries of the authors' files that the backbone already holds, or that their code never reads.
KNOWN = re.compile(
    r"ctx_(pos|neg)|token_(prefix|suffix)_(pos|neg)|tokenized_prompts_(pos|neg)"
    r"|compound_prompts_text\.\d+|compound_prompt_projections\.\d+\.(weight|bias)"
)


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
