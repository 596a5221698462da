"""DINOv2, with registers (Darcet et al. 2024) and without (Oquab et al. 2024).

What differs from CLIP: LayerScale, exact GELU, no norm before the first layer, and in the giant model a gated
MLP (SwiGLU). Registers are added after the positions. The image embedding is the class token after the last
norm, `pooler_output` in transformers.

Positions of another grid than the trained one are resized as in transformers: plainly without registers, and
with antialias with them. The original code without registers takes another ratio, which
`with_position_resize("hub bicubic")` sets.
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
    "attention/query/kernel": ("attention.attention.query.weight", "transpose"),
    "attention/query/bias": ("attention.attention.query.bias", "same"),
    "attention/key/kernel": ("attention.attention.key.weight", "transpose"),
    "attention/key/bias": ("attention.attention.key.bias", "same"),
    "attention/value/kernel": ("attention.attention.value.weight", "transpose"),
    "attention/value/bias": ("attention.attention.value.bias", "same"),
    "attention/out/kernel": ("attention.output.dense.weight", "transpose"),
    "attention/out/bias": ("attention.output.dense.bias", "same"),
    "scale_1": ("layer_scale1.lambda1", "same"),
    "ln_2/scale": ("norm2.weight", "same"),
    "ln_2/bias": ("norm2.bias", "same"),
    "scale_2": ("layer_scale2.lambda1", "same"),
}
MLP = {
    "mlp/up/kernel": ("mlp.fc1.weight", "transpose"),
    "mlp/up/bias": ("mlp.fc1.bias", "same"),
    "mlp/down/kernel": ("mlp.fc2.weight", "transpose"),
    "mlp/down/bias": ("mlp.fc2.bias", "same"),
}
GATED_MLP = {
    "mlp/gate/kernel": ("mlp.weights_in.weight", "gate"),
    "mlp/gate/bias": ("mlp.weights_in.bias", "gate"),
    "mlp/up/kernel": ("mlp.weights_in.weight", "up"),
    "mlp/up/bias": ("mlp.weights_in.bias", "up"),
    "mlp/down/kernel": ("mlp.weights_out.weight", "transpose"),
    "mlp/down/bias": ("mlp.weights_out.bias", "same"),
}
TOP = {
    "vision/class_embedding": ("embeddings.cls_token", "first of rows"),
    "vision/patch_embedding/kernel": ("embeddings.patch_embeddings.projection.weight", "patch"),
    "vision/patch_embedding/bias": ("embeddings.patch_embeddings.projection.bias", "same"),
    "vision/position_embedding": ("embeddings.position_embeddings", "row"),
    "vision/ln_post/scale": ("layernorm.weight", "same"),
    "vision/ln_post/bias": ("layernorm.bias", "same"),
}
REGISTERS = {"vision/registers": ("embeddings.register_tokens", "row")}
UNUSED = ("embeddings.mask_token",)  # of training alone
BIASES = ("attention/query/bias", "attention/key/bias", "attention/value/bias")


def load(directory: pathlib.Path, name: str, dtype: str) -> ViTBackbone:
    """Load the DINOv2 in a directory, which is called `name` in messages; see `load_backbone`."""
    return load_vit(directory, name, dtype, configure, table, UNUSED)


def configure(raw: dict[str, Any]) -> ViTConfig:
    """Return the shape that a `config.json` describes, with transformers' defaults of absent entries."""
    width = raw.get("hidden_size", 768)
    mlp_width = int(width * raw.get("mlp_ratio", 4))
    gated = raw.get("use_swiglu_ffn", False)
    registers = raw["model_type"] == "dinov2_with_registers"
    bias = raw.get("qkv_bias", True)
    return ViTConfig(
        width,
        raw.get("num_hidden_layers", 12),
        raw.get("num_attention_heads", 12),
        # Two thirds of an MLP's, rounded up to a multiple of 8, because there are three matrices.
        (int(mlp_width * 2 / 3) + 7) // 8 * 8 if gated else mlp_width,
        "silu" if gated else raw.get("hidden_act", "gelu"),
        raw.get("layer_norm_eps", 1e-6),
        layer_scale=True,
        gated_mlp=gated,
        query_bias=bias,
        key_bias=bias,
        value_bias=bias,
        image_size=square(raw, "image_size", 224),
        patch_size=square(raw, "patch_size", 16 if registers else 14),
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        registers=raw.get("num_register_tokens", 4) if registers else 0,
        patch_bias=True,
        position_resize="bicubic" if registers else "plain bicubic",
    )


def table(config: ViTConfig) -> dict[str, tuple[str, str]]:
    """Return the tensor and the transform of each parameter."""
    block = BLOCK | (GATED_MLP if config.gated_mlp else MLP)
    if not config.query_bias:
        block = {path: entry for path, entry in block.items() if path not in BIASES}
    registers = REGISTERS if config.registers else {}
    return TOP | registers | in_layers(block, config.layers, "vision", "encoder.layer.{}")
