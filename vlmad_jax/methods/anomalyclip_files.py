"""Files of AnomalyCLIP's authors: the learned prompts in a `.pth` of their training."""

from __future__ import annotations

import pathlib
import re
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError, few
from vlmad_jax.methods.detector import Params
from vlmad_jax.methods.learned import few_shapes

REMEDY = "give a checkpoint of AnomalyCLIP's training"
DEEP = re.compile(r"compound_prompts_text\.(\d+)")
# The learned tensors, and those that the backbone has too or the authors' code never reads.
KNOWN = re.compile(
    r"ctx_(pos|neg)|token_(prefix|suffix)_(pos|neg)|tokenized_prompts_(pos|neg)"
    r"|compound_prompts_text\.\d+|compound_prompt_projections\.\d+\.(weight|bias)"
)


class Lengths(NamedTuple):
    """The lengths of learned prompts, by the names of AnomalyCLIP's hyper-parameters."""

    context_length: int
    deep_depth: int
    deep_length: int


def lengths_of(params: Params, deep_length: int) -> Lengths:
    """Return the lengths of prompts; `deep_length` is used for prompts without deep tokens."""
    deep = params.get("deep")
    depth, length = (
        (1, min(deep_length, len(params["normal"]))) if deep is None else (1 + len(deep), deep.shape[1])
    )
    return Lengths(len(params["normal"]), depth, length)


def load_authors_prompts(path: pathlib.Path, clip: CLIP) -> Params:
    """Load the parameters in a `.pth` file of the authors' code.

    Deep tokens are rounded to float16, as that code does whenever it uses them.

    Raises:
      InputError: The file is damaged, unsafe or of another backbone, or has other names or shapes.
    """
    path = pathlib.Path(path)
    learner = read_learner(path)
    deep = sorted((int(match[1]), name) for name in learner if (match := DEEP.fullmatch(name)))
    names = ["ctx_pos", "ctx_neg", *(f"compound_prompts_text.{n}" for n in range(len(deep)))]
    wrong = sorted(name for name in learner if not KNOWN.fullmatch(name))
    missing = [name for name in names if name not in learner]
    if wrong or missing:
        also = f"without {few(missing)}" if missing else f"with {few(wrong)}"
        raise InputError(
            f"{path}: expected ctx_pos, ctx_neg and compound_prompts_text.0 and on, found "
            f"{few(sorted(learner))}, {also}; {REMEDY}"
        )
    check_backbone(path, learner, clip)
    rounded = [learner[name].astype(np.float16).astype(np.float32) for _, name in deep]
    tokens = [learner[name] for name in ("ctx_pos", "ctx_neg")]
    wrong_shape = any(x.ndim != 4 or x.shape[:2] != (1, 1) for x in tokens)
    if wrong_shape or any(x.ndim != 2 for x in rounded) or len({x.shape for x in rounded}) > 1:
        shapes = few_shapes({name: learner[name] for name in names})
        raise InputError(
            f"{path}: expected ctx_pos and ctx_neg (1, 1, n, D) and deep tokens (m, D), found "
            f"{shapes}; {REMEDY}"
        )
    params = {
        name: jnp.asarray(x[0, 0], jnp.float32)
        for name, x in zip(("normal", "anomalous"), tokens, strict=True)
    }
    return params | ({"deep": jnp.asarray(np.stack(rounded))} if rounded else {})


def read_learner(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the named tensors of the prompt learner in a file.

    Raises:
      InputError: The file is damaged or unsafe, or has none.
    """
    content = read_torch_file(path)
    learner = content.get("prompt_learner") if isinstance(content, dict) else None
    if not isinstance(learner, dict) or not all(isinstance(x, np.ndarray) for x in learner.values()):
        found = few(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(
            f"{path}: expected an entry prompt_learner of named tensors, found {found[:100]}; {REMEDY}"
        )
    return unwrapped(learner, "ctx_pos")


def check_backbone(path: pathlib.Path, learner: dict[str, np.ndarray], clip: CLIP) -> None:
    """Check that the start token in a file equals the backbone's up to float16 rounding.

    Raises:
      InputError: It does not.
    """
    if not clip.config.start_tokens:
        raise InputError(
            f"{path}: was trained with a CLIP, and {clip.name} is a {clip.family}; "
            "give parameters of experiments.train, or the weights it was trained with"
        )
    start = learner.get("token_prefix_pos")
    if start is None or clip.tokenizer is None:
        return
    own = np.asarray(clip.params["text"]["token_embedding"], np.float32)[clip.tokenizer.bos_token_id]
    if start.shape[-1] != len(own) or np.abs(start.reshape(-1, len(own))[0] - own).max() > 1e-2:
        raise InputError(
            f"{path}: was trained with another backbone than {clip.name}, because its start token of "
            f"{start.shape[-1]} numbers differs from this backbone's of {len(own)}; "
            "give the weights it was trained with, openai/clip-vit-large-patch14-336 for the authors' own"
        )
