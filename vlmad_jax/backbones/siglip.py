"""SigLIP and SigLIP 2 of fixed resolution (Zhai et al. 2023; Tschannen et al. 2025), with or without text.

There is no class token: one learned query attends to all patches, and its output is the image embedding. The
text transformer is not causal, and a sentence's embedding is that at its last place, padding included.

SigLIP was trained with the sigmoid of cosine x exp(logit_scale) + logit_bias for each pair. Methods compare
an image with normal and anomalous texts by a softmax, in which the bias cancels. They use their published
temperatures, and CoOp 1 / exp(logit_scale).
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vlmad_jax.backbones.backbone import Params
from vlmad_jax.backbones.checkpoints.key_tables import (
    Table,
    Tensors,
    cast_matrices,
    convert,
    in_layers,
    parameter_shapes,
)
from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.clip_weights import TRANSFORMERS_BLOCK
from vlmad_jax.backbones.config import CLIPConfig, TextConfig, VisionConfig, given, reading
from vlmad_jax.backbones.preprocessing import Normalisation, Numbers, Preprocessing, read_preprocessing
from vlmad_jax.backbones.siglip_tokenizer import load_tokenizer, tokenize
from vlmad_jax.backbones.text_transformer import TextTransformerConfig
from vlmad_jax.backbones.tokenizer import check_tokens, truncated_sentences
from vlmad_jax.backbones.vit import VisionTransformer, ViTConfig
from vlmad_jax.backbones.vit_backbone import ViTBackbone, check_config, square
from vlmad_jax.errors import InputError

VISION_MODEL = "siglip_vision_model"  # the `model_type` of the vision tower alone
HALF: Numbers = (0.5, 0.5, 0.5)
USUAL = Preprocessing(Normalisation(HALF, HALF))
# The rule of transformers for positions at another image size.
POSITION_RESIZE = "plain bicubic"
# transformers' names of activations -> those of `transformer.ACTIVATIONS`.
ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "quick_gelu": "quick_gelu"}
# transformers' defaults of absent entries.
TOWER_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
VISION_DEFAULTS = TOWER_DEFAULTS | {"image_size": 224, "patch_size": 16, "vision_use_head": True}
TEXT_DEFAULTS = TOWER_DEFAULTS | {
    "vocab_size": 32000,
    "max_position_embeddings": 64,
    "projection_size": None,
}

# parameter -> (tensor, transform), see `checkpoints.key_tables`.
VISION = {
    "patch_embedding/kernel": ("embeddings.patch_embedding.weight", "patch"),
    "patch_embedding/bias": ("embeddings.patch_embedding.bias", "same"),
    "position_embedding": ("embeddings.position_embedding.weight", "same"),
    "ln_post/scale": ("post_layernorm.weight", "same"),
    "ln_post/bias": ("post_layernorm.bias", "same"),
}
HEAD = {
    "pooling/probe": ("head.probe", "same"),
    "pooling/attention/query/kernel": ("head.attention.in_proj_weight", "query"),
    "pooling/attention/query/bias": ("head.attention.in_proj_bias", "query"),
    "pooling/attention/key/kernel": ("head.attention.in_proj_weight", "key"),
    "pooling/attention/key/bias": ("head.attention.in_proj_bias", "key"),
    "pooling/attention/value/kernel": ("head.attention.in_proj_weight", "value"),
    "pooling/attention/value/bias": ("head.attention.in_proj_bias", "value"),
    "pooling/attention/out/kernel": ("head.attention.out_proj.weight", "transpose"),
    "pooling/attention/out/bias": ("head.attention.out_proj.bias", "same"),
    "pooling/norm/scale": ("head.layernorm.weight", "same"),
    "pooling/norm/bias": ("head.layernorm.bias", "same"),
    "pooling/mlp/up/kernel": ("head.mlp.fc1.weight", "transpose"),
    "pooling/mlp/up/bias": ("head.mlp.fc1.bias", "same"),
    "pooling/mlp/down/kernel": ("head.mlp.fc2.weight", "transpose"),
    "pooling/mlp/down/bias": ("head.mlp.fc2.bias", "same"),
}
TEXT = {
    "token_embedding": ("embeddings.token_embedding.weight", "same"),
    "position_embedding": ("embeddings.position_embedding.weight", "same"),
    "ln_final/scale": ("final_layer_norm.weight", "same"),
    "ln_final/bias": ("final_layer_norm.bias", "same"),
    "projection/kernel": ("head.weight", "transpose"),
    "projection/bias": ("head.bias", "same"),
}
SCALARS = {"logit_scale": ("logit_scale", "scalar"), "logit_bias": ("logit_bias", "scalar")}
IGNORED = "embeddings.position_ids"  # a constant buffer that older versions store


@dataclass(frozen=True)
class SigLIPConfig(CLIPConfig):
    """A SigLIP with both towers."""

    activation: str = "gelu_tanh"
    layer_norm_eps: float = 1e-6
    image_mean: Numbers = HALF
    image_std: Numbers = HALF

    activations: ClassVar[tuple[str, ...]] = tuple(ACTIVATIONS.values())
    start_tokens: ClassVar[int] = 0

    def vit(self, position_resize: str = POSITION_RESIZE) -> ViTConfig:
        """Return the shape of the vision transformer, with a rule for resizing positions."""
        shape = super().vit(position_resize)
        return dataclasses.replace(
            shape, embed_dim=None, class_token=False, patch_bias=True, pre_norm=False, pooling="attention"
        )

    @property
    def text_transformer(self) -> TextTransformerConfig:
        """The shape of the text transformer."""
        shape = super().text_transformer
        return dataclasses.replace(shape, attention="qk", pooling="last", projection_bias=True)


@dataclass(frozen=True, eq=False, repr=False)
class SigLIP(CLIP):
    """A SigLIP with both towers, on which methods run as on a CLIP.

    Attributes:
      params: The parameters {"vision": ..., "text": ..., "logit_scale": ..., "logit_bias": ...}.
      resample: The filter with which images are resized, "bicubic" or "bilinear".
    """

    config: SigLIPConfig
    resample: str = "bicubic"

    family: str = dataclasses.field(default="siglip", init=False)

    def vision(self, position_resize: str = POSITION_RESIZE) -> VisionTransformer:
        """Return the vision transformer; see `CLIP.vision`. The default rule is that of transformers."""
        return super().vision(position_resize)

    def token_ids(self, sentences: Sequence[str], room: int = 0) -> np.ndarray:
        """Return the token ids int32 (N, T) of N sentences, padded to the context length.

        The first `room` ones are those of the pad token; see `CLIP.token_ids`.
        """
        text, tokenizer = self.config.text, self._own_tokenizer
        token_ids = tokenize(tokenizer, sentences, text.context_length, room)
        check_tokens(tokenizer, sentences, token_ids, text.vocab_size, text.eos_token_id, self.name)
        return token_ids

    def truncated(self, sentences: Sequence[str], room: int = 0) -> list[str]:
        """Return the sentences that are longer than the context length without `room` tokens."""
        return truncated_sentences(self._own_tokenizer, sentences, self.config.text.context_length - room)


def load(directory: pathlib.Path, name: str, dtype: str) -> SigLIP | ViTBackbone:
    """Load the SigLIP in a directory, which is called `name` in messages; see `load_backbone`.

    Raises:
      InputError: Its files are incomplete, damaged or not those of a SigLIP of fixed resolution.
    """
    path = directory / "config.json"
    preprocessing = read_preprocessing(directory, USUAL, "Siglip")
    with reading(path, "SigLIP"):
        raw = json.loads(path.read_text(encoding="utf-8"))
        alone, normalisation = raw["model_type"] == VISION_MODEL, preprocessing.normalisation
        config = vision_config(raw, normalisation) if alone else both_towers(raw, normalisation)
    params = load_params(read_tensors(directory, "transformers"), config, str(directory))
    if isinstance(config, ViTConfig):
        return ViTBackbone(
            VISION_MODEL, config, cast_matrices(params, dtype), dtype, name, preprocessing.resample
        )
    tokenizer = load_tokenizer(directory, config.text.vocab_size)
    assert tokenizer.end is not None, "checked when the tokenizer is loaded"
    text = dataclasses.replace(config.text, eos_token_id=tokenizer.end)
    config = dataclasses.replace(config, text=text)
    return SigLIP(config, cast_matrices(params, dtype), tokenizer, dtype, name, preprocessing.resample)


# Configurations


def both_towers(raw: dict[str, Any], normalisation: Normalisation) -> SigLIPConfig:
    """Convert the contents of a `config.json` with both towers, with transformers' defaults.

    Raises:
      InputError: It is another model than a SigLIP.
    """
    vision = VISION_DEFAULTS | given(raw, "vision_config")
    text = TEXT_DEFAULTS | given(raw, "text_config")
    if any(vision[name] != text[name] for name in ("hidden_act", "layer_norm_eps")):
        raise InputError(
            "vision and text differ in hidden_act or layer_norm_eps, which no published SigLIP does"
        )
    if not vision["vision_use_head"]:
        raise InputError("vision_use_head is false, so that images have no embedding to compare with texts")
    projected = text["hidden_size"] if text["projection_size"] is None else text["projection_size"]
    if projected != vision["hidden_size"]:
        raise InputError(
            f"the embeddings of texts have {projected} numbers and those of images {vision['hidden_size']}; "
            "give a checkpoint in which both are equal"
        )
    return SigLIPConfig(
        VisionConfig(*sizes(vision), *(square(vision, name, 0) for name in ("image_size", "patch_size"))),
        # `load` sets the end token, which the tokenizer knows.
        TextConfig(*sizes(text), text["vocab_size"], text["max_position_embeddings"], eos_token_id=1),
        projected,
        activation(vision),
        vision["layer_norm_eps"],
        normalisation.mean,
        normalisation.std,
    )


def vision_config(raw: dict[str, Any], normalisation: Normalisation) -> ViTConfig:
    """Convert the contents of a `config.json` of the vision tower alone.

    Raises:
      InputError: It is another model than the vision tower of a SigLIP.
    """
    entries = VISION_DEFAULTS | raw
    config = ViTConfig(
        *sizes(entries),
        activation(entries),
        entries["layer_norm_eps"],
        image_size=square(entries, "image_size", 0),
        patch_size=square(entries, "patch_size", 0),
        image_mean=normalisation.mean,
        image_std=normalisation.std,
        class_token=False,
        patch_bias=True,
        position_resize=POSITION_RESIZE,
        pooling="attention" if entries["vision_use_head"] else "mean",
    )
    check_config(config)
    return config


def sizes(entries: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the width, layers, heads and width of the MLPs of a tower."""
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    width, layers, heads, mlp_width = (entries[name] for name in names)
    return width, layers, heads, mlp_width


def activation(entries: dict[str, Any]) -> str:
    """Return the name of an activation.

    Raises:
      InputError: It is unknown.
    """
    if entries["hidden_act"] not in ACTIVATIONS:
        raise InputError(f"hidden_act {entries['hidden_act']!r} is not one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[entries["hidden_act"]]


# Tensors


def named(table: Table, parameters: str, tensors: str) -> dict[str, tuple[str, str]]:
    """Return a table with longer names of parameters and of tensors."""
    return {f"{parameters}{path}": (f"{tensors}{name}", kind) for path, (name, kind) in table.items()}


def tensor_table(config: SigLIPConfig | ViTConfig) -> dict[str, tuple[str, str]]:
    """Return the tensor and the transform of every parameter, by the parameter's path."""
    shape, prefix = (config, "") if isinstance(config, ViTConfig) else (config.vit(), "vision_model.")
    head = HEAD if shape.pooling == "attention" else {}
    table = named(VISION | head, "vision/", prefix)
    table |= in_layers(TRANSFORMERS_BLOCK, shape.layers, "vision", f"{prefix}encoder.layers.{{}}")
    if isinstance(config, ViTConfig):
        return table
    table |= named(TEXT, "text/", "text_model.") | SCALARS
    return table | in_layers(TRANSFORMERS_BLOCK, config.text.layers, "text", "text_model.encoder.layers.{}")


def shapes_of(config: SigLIPConfig | ViTConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parameters by path."""
    if isinstance(config, ViTConfig):
        return parameter_shapes(config)
    return parameter_shapes(config.vit(), config.text_transformer) | dict.fromkeys(SCALARS, ())


def load_params(tensors: Tensors, config: SigLIPConfig | ViTConfig, source: str) -> Params:
    """Convert a checkpoint's tensors to float32 parameters.

    The names of the vision tower alone may begin with "vision_model.".

    Raises:
      InputError: Tensors are missing, unexpected, misshapen or not finite; one line names the first of each.
    """
    own = unwrapped(tensors, "logit_scale", "post_layernorm.weight")
    own = {name: x for name, x in own.items() if not name.endswith(IGNORED)}
    if isinstance(config, ViTConfig):
        patch_size, what = config.patch_size, "vision tower of a SigLIP"
    else:
        patch_size, what = config.vision.patch_size, "SigLIP of fixed resolution"
    return convert(own, tensor_table(config), shapes_of(config), patch_size, source, what)
