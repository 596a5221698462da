"""DINOv3's vision transformers (Siméoni et al. 2025, "DINOv3").

What differs from DINOv2: rotary positions of patches in place of learned ones, no bias of keys, patches of 16
pixels, and in the larger models an MLP whose gate has a tensor of its own. The image embedding is the class
token after the last norm, `pooler_output` in transformers.
"""

from __future__ import annotations

import pathlib
from typing import Any

from vlmad_jax.backbones.checkpoints.key_tables import in_layers
from vlmad_jax.backbones.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from vlmad_jax.backbones.vit import ViTConfig
from vlmad_jax.backbones.vit_backbone import ViTBackbone, load_vit, square

# parameter -> (tensor, transform)
BLOCK = {
    "ln_1/scale": ("norm1.weight", "same"),
    "ln_1/bias": ("norm1.bias", "same"),
    "attention/query/kernel": ("attention.q_proj.weight", "transpose"),
    "attention/query/bias": ("attention.q_proj.bias", "same"),
    "attention/key/kernel": ("attention.k_proj.weight", "transpose"),
    "attention/key/bias": ("attention.k_proj.bias", "same"),
    "attention/value/kernel": ("attention.v_proj.weight", "transpose"),
    "attention/value/bias": ("attention.v_proj.bias", "same"),
    "attention/out/kernel": ("attention.o_proj.weight", "transpose"),
    "attention/out/bias": ("attention.o_proj.bias", "same"),
    "scale_1": ("layer_scale1.lambda1", "same"),
    "ln_2/scale": ("norm2.weight", "same"),
    "ln_2/bias": ("norm2.bias", "same"),
    "mlp/gate/kernel": ("mlp.gate_proj.weight", "transpose"),
    "mlp/gate/bias": ("mlp.gate_proj.bias", "same"),
    "mlp/up/kernel": ("mlp.up_proj.weight", "transpose"),
    "mlp/up/bias": ("mlp.up_proj.bias", "same"),
    "mlp/down/kernel": ("mlp.down_proj.weight", "transpose"),
    "mlp/down/bias": ("mlp.down_proj.bias", "same"),
    "scale_2": ("layer_scale2.lambda1", "same"),
}
TOP = {
    "vision/class_embedding": ("embeddings.cls_token", "first of rows"),
    "vision/patch_embedding/kernel": ("embeddings.patch_embeddings.weight", "patch"),
    "vision/patch_embedding/bias": ("embeddings.patch_embeddings.bias", "same"),
    "vision/ln_post/scale": ("norm.weight", "same"),
    "vision/ln_post/bias": ("norm.bias", "same"),
}
REGISTERS = {"vision/registers": ("embeddings.register_tokens", "row")}
# The mask is of training alone, the frequencies are made from the configuration, and a model without
# registers has an empty tensor of them.
UNUSED = ("embeddings.mask_token", "embeddings.register_tokens", "rope_embeddings.inv_freq")


def load(directory: pathlib.Path, name: str, dtype: str) -> ViTBackbone:
    """Load the DINOv3 in a directory, which is called `name` in messages; see `load_backbone`."""
    return load_vit(directory, name, dtype, configure, table, UNUSED)


def configure(raw: dict[str, Any]) -> ViTConfig:
    """Return the shape that a `config.json` describes, with transformers' defaults of absent entries."""
    return ViTConfig(
        raw.get("hidden_size", 384),
        raw.get("num_hidden_layers", 12),
        raw.get("num_attention_heads", 6),
        raw.get("intermediate_size", 1536),
        raw.get("hidden_act", "gelu"),
        raw.get("layer_norm_eps", 1e-5),
        layer_scale=True,
        gated_mlp=raw.get("use_gated_mlp", False),
        query_bias=raw.get("query_bias", True),
        key_bias=raw.get("key_bias", False),
        value_bias=raw.get("value_bias", True),
        out_bias=raw.get("proj_bias", True),
        mlp_bias=raw.get("mlp_bias", True),
        image_size=square(raw, "image_size", 224),
        patch_size=square(raw, "patch_size", 16),
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        registers=raw.get("num_register_tokens", 0),
        patch_bias=True,
        positions="rotary",
        rope_base=raw.get("rope_theta", 100.0),
    )


def table(config: ViTConfig) -> dict[str, tuple[str, str]]:
    """Return the tensor and the transform of each parameter."""
    absent = {
        "mlp/gate/kernel": not config.gated_mlp,
        "mlp/gate/bias": not (config.gated_mlp and config.mlp_bias),
        "attention/query/bias": not config.query_bias,
        "attention/key/bias": not config.key_bias,
        "attention/value/bias": not config.value_bias,
        "attention/out/bias": not config.out_bias,
        "mlp/up/bias": not config.mlp_bias,
        "mlp/down/bias": not config.mlp_bias,
    }
    block = {path: entry for path, entry in BLOCK.items() if not absent.get(path)}
    registers = REGISTERS if config.registers else {}
    return TOP | registers | in_layers(block, config.layers, "vision", "layer.{}")
