"""Files of MRAD's authors: the linear heads in a `.pth` of their training."""

from __future__ import annotations

import pathlib

import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.errors import InputError, few
from vlmad_jax.methods.detector import Params

# The entry and the layer of each head.
LAYERS = {
    "patch_query": ("patch_proj", "fc.0"),
    "patch_key": ("patch_proj", "fc.1"),
    "image_query": ("image_proj", "mlp1"),
    "image_key": ("image_proj", "mlp2"),
}


def load_authors_heads(path: pathlib.Path) -> Params:
    """Load the heads in a `.pth` file of the authors' code, "kernel" and "bias" each.

    Entries of MRAD-CLIP, which has the heads too, are ignored.

    Raises:
      InputError: The file is damaged or unsafe, or has other names.
    """
    content = read_torch_file(path)
    content = content if isinstance(content, dict) else {}
    heads: Params = {}
    for head, (entry, layer) in LAYERS.items():
        layers = content.get(entry)
        layers = unwrapped(layers, f"{layer}.weight") if isinstance(layers, dict) else {}
        weight, bias = (layers.get(f"{layer}.{kind}") for kind in ("weight", "bias"))
        if not isinstance(weight, np.ndarray) or not isinstance(bias, np.ndarray):
            raise InputError(
                f"{path}: expected the entries patch_proj with fc.0 and fc.1, and image_proj with mlp1 "
                f"and mlp2, found {few(map(str, content)) or 'none'}; give a checkpoint of MRAD's training"
            )
        heads[head] = {"kernel": jnp.asarray(weight.T, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    return heads
