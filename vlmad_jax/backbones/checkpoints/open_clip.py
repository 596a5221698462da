"""The options in open_clip's configurations that leave a plain CLIP ViT unchanged.

open_clip writes options at their defaults, and others that only training, other towers or tokenizers use. Any
value of the first kind that is not below makes another network, and raises an error that names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from vlmad_jax.errors import InputError, few

# The options that this package uses, with open_clip's defaults.
VISION_SHAPE: dict[str, Any] = {
    "layers": 12,
    "width": 768,
    "head_width": 64,
    "mlp_ratio": 4.0,
    "patch_size": 16,
    "image_size": 224,
}
TEXT_SHAPE: dict[str, Any] = {
    "context_length": 77,
    "vocab_size": 49408,
    "width": 512,
    "heads": 8,
    "layers": 12,
    "mlp_ratio": 4.0,
}

# Options with their values that leave a plain CLIP ViT unchanged.
BLOCK: dict[str, tuple[Any, ...]] = {
    "ls_init_value": (None,),
    "block_type": (None, "default"),
    "qk_norm": (False,),
    "scaled_cosine_attn": (False,),
    "scale_heads": (False,),
    "scale_attn_inner": (False,),
    "scale_attn": (False,),
    "scale_fc": (False,),
    "act_kwargs": (None, {}, {"approximate": "none"}),
    "norm_kwargs": (None, {}, {"eps": 1e-5}),
    "final_ln_after_pool": (False,),
}
VISION_PLAIN: dict[str, tuple[Any, ...]] = BLOCK | {
    "attentional_pool": (False, None),
    "global_average_pool": (False,),
    "no_ln_pre": (False,),
    "input_patchnorm": (False,),
    "pool_type": ("tok",),
    "pos_embed_type": ("learnable", "sin_cos_2d"),  # checkpoints have both
    "timm_model_name": (None, ""),
}
TEXT_PLAIN: dict[str, tuple[Any, ...]] = BLOCK | {
    "embed_cls": (False,),
    "no_causal_mask": (False,),
    "use_pad_mask": (False,),
    "pool_type": ("argmax", "eos"),
    "proj": (None, "linear"),
    "proj_type": ("linear",),
    "proj_bias": (False,),
    "hf_model_name": (None, ""),
    "tokenizer_mode": (None,),
    "tokenizer_kwargs": (None, {}),
}
MODEL_PLAIN: dict[str, tuple[Any, ...]] = {"multimodal_cfg": (None,)}

# Options that change nothing in a plain CLIP ViT at inference, whatever their value. They concern training,
# further outputs, the scale and bias of logits, and towers and pools that it does not have.
VISION_IDLE = frozenset(
    {
        *("patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads"),
        *("timm_model_pretrained", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path"),
    }
)
TEXT_IDLE = frozenset(
    {
        *("output_tokens", "pad_id", "eos_id", "correct_cls_mask", "hf_tokenizer_name"),
        *("hf_model_pretrained", "hf_proj_type", "hf_pooler_type", "pooler_type"),
    }
)
MODEL_IDLE = frozenset(
    {
        *("embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "custom_text", "cast_dtype", "output_dict"),
        *("init_logit_scale", "init_logit_bias", "nonscalar_logit_scale"),
    }
)


def plain_vit(model: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of both towers, with open_clip's defaults of absent ones.

    Args:
      model: `model_cfg` of an `open_clip_config.json`.

    Raises:
      InputError: Options make it another network; the message has their names and values.
    """
    vision, text = model["vision_cfg"], model["text_cfg"]
    strange = [
        *others("vision_cfg ", vision, VISION_PLAIN, VISION_IDLE | VISION_SHAPE.keys()),
        *others("text_cfg ", text, TEXT_PLAIN, TEXT_IDLE | TEXT_SHAPE.keys()),
        *others("", model, MODEL_PLAIN, MODEL_IDLE),
    ]
    if strange:
        raise InputError(f"{few(strange)}: not an option of a plain CLIP ViT; give a plain CLIP ViT")
    sides = {name: one_side(vision[name]) for name in ("image_size", "patch_size") if name in vision}
    return VISION_SHAPE | dict(vision) | sides, TEXT_SHAPE | dict(text)


def others(
    prefix: str, given: Mapping[str, Any], plain: Mapping[str, tuple[Any, ...]], idle: frozenset[str]
) -> Iterator[str]:
    """Yield the options, with their values, that make another network than a plain CLIP ViT."""
    for name, value in given.items():
        if name not in idle and value not in plain.get(name, ()):
            yield f"{prefix}{name} {json.dumps(value)[:60]}"


def one_side(size: Any) -> Any:
    """Return the side of a square from one number or two equal ones."""
    return size[0] if isinstance(size, list) and len(size) == 2 and size[0] == size[1] else size
