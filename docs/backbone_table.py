"""Print the table of published backbones in docs/backbones.md: parameters, and GFLOP for one image.

    python docs/backbone_table.py

Parameters and operations are those of the image encoder, from its shape alone; no weights are needed. A
multiplication and an addition are two operations.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.backbones import dinov2, dinov3
from vlmad_jax.backbones.config import ARCHITECTURES
from vlmad_jax.backbones.efficientnet_network import VARIANTS, ConvNet
from vlmad_jax.backbones.preprocessing import Normalisation
from vlmad_jax.backbones.siglip import HALF, vision_config
from vlmad_jax.backbones.vit import VisionTransformer, ViTConfig


def dino(registers: bool, width: int, layers: int, heads: int, gated: bool = False) -> ViTConfig:
    """Return the shape of a published DINOv2."""
    model_type = "dinov2_with_registers" if registers else "dinov2"
    return dinov2.configure(
        {"model_type": model_type, "hidden_size": width, "num_hidden_layers": layers}
        | {"num_attention_heads": heads, "use_swiglu_ffn": gated, "image_size": 518, "patch_size": 14}
    )


def dino3(width: int, layers: int, heads: int) -> ViTConfig:
    """Return the shape of a published DINOv3, with MLPs four times as wide."""
    return dinov3.configure(
        {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        | {"intermediate_size": 4 * width, "num_register_tokens": 4}
    )


def siglip(width: int, layers: int, heads: int, mlp_width: int, image: int, patch: int) -> ViTConfig:
    """Return the shape of a published SigLIP 2."""
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    sizes |= {"intermediate_size": mlp_width, "image_size": image, "patch_size": patch}
    return vision_config(sizes, Normalisation(HALF, HALF))


PUBLISHED = {
    "CLIP ViT-B/16": ARCHITECTURES["vit-b-16"].vit(),
    "CLIP ViT-B/16-plus-240": ARCHITECTURES["vit-b-16-plus-240"].vit(),
    "CLIP ViT-L/14@336": ARCHITECTURES["vit-l-14-336"].vit(),
    "SigLIP 2 B/16": siglip(768, 12, 12, 3072, 256, 16),
    "SigLIP 2 So400m/14": siglip(1152, 27, 16, 4304, 384, 14),
    "DINOv2-S": dino(False, 384, 12, 6),
    "DINOv2-B with registers": dino(True, 768, 12, 12),
    "DINOv2-L with registers": dino(True, 1024, 24, 16),
    "DINOv2-g with registers": dino(True, 1536, 40, 24, gated=True),
    "DINOv3-S/16": dino3(384, 12, 6),
    "DINOv3-B/16": dino3(768, 12, 12),
    "DINOv3-L/16": dino3(1024, 24, 16),
    **{f"EfficientNet-Lite {name[-1]}": config for name, config in VARIANTS.items()},
}


def row(name: str, config: Any) -> str:
    """Return a line of the table."""
    module = VisionTransformer(config) if isinstance(config, ViTConfig) else ConvNet(config)
    images = jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), jnp.uint8)
    variables = jax.eval_shape(module.init, jax.random.key(0), images)
    parameters = sum(math.prod(x.shape) for x in jax.tree.leaves(variables))
    lowered = jax.jit(lambda variables, images: module.apply(variables, images)[0]).lower(variables, images)
    gflop = lowered.cost_analysis()["flops"] / 1e9
    digits = f"{gflop:.0f}" if gflop >= 100 else f"{gflop:.3g}"
    return f"| {name} | {config.image_size} | {parameters / 1e6:.1f} | {digits} |"


if __name__ == "__main__":
    print("| image encoder | pixels a side | million parameters | GFLOP |\n|---|---|---|---|")
    for name, config in PUBLISHED.items():
        print(row(name, config), flush=True)
