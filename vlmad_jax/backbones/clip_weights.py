"""The names and layouts of CLIP's tensors in checkpoints of transformers and open_clip, as data."""

from __future__ import annotations

from typing import NamedTuple

import flax
import numpy as np

from vlmad_jax.backbones.backbone import Params
from vlmad_jax.backbones.checkpoints.key_tables import (
    TRANSFORMS,
    Tensors,
    convert,
    in_layers,
    parameter_shapes,
)
from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.config import CLIPConfig

# parameter -> (tensor, transform); {n} counts layers from 0 and {N} names them from 1.
TRANSFORMERS_BLOCK = {
    "ln_1/scale": ("layer_norm1.weight", "same"),
    "ln_1/bias": ("layer_norm1.bias", "same"),
    "attention/query/kernel": ("self_attn.q_proj.weight", "transpose"),
    "attention/query/bias": ("self_attn.q_proj.bias", "same"),
    "attention/key/kernel": ("self_attn.k_proj.weight", "transpose"),
    "attention/key/bias": ("self_attn.k_proj.bias", "same"),
    "attention/value/kernel": ("self_attn.v_proj.weight", "transpose"),
    "attention/value/bias": ("self_attn.v_proj.bias", "same"),
    "attention/out/kernel": ("self_attn.out_proj.weight", "transpose"),
    "attention/out/bias": ("self_attn.out_proj.bias", "same"),
    "ln_2/scale": ("layer_norm2.weight", "same"),
    "ln_2/bias": ("layer_norm2.bias", "same"),
    "mlp/up/kernel": ("mlp.fc1.weight", "transpose"),
    "mlp/up/bias": ("mlp.fc1.bias", "same"),
    "mlp/down/kernel": ("mlp.fc2.weight", "transpose"),
    "mlp/down/bias": ("mlp.fc2.bias", "same"),
}
OPEN_CLIP_BLOCK = {
    "ln_1/scale": ("ln_1.weight", "same"),
    "ln_1/bias": ("ln_1.bias", "same"),
    "attention/query/kernel": ("attn.in_proj_weight", "query"),
    "attention/query/bias": ("attn.in_proj_bias", "query"),
    "attention/key/kernel": ("attn.in_proj_weight", "key"),
    "attention/key/bias": ("attn.in_proj_bias", "key"),
    "attention/value/kernel": ("attn.in_proj_weight", "value"),
    "attention/value/bias": ("attn.in_proj_bias", "value"),
    "attention/out/kernel": ("attn.out_proj.weight", "transpose"),
    "attention/out/bias": ("attn.out_proj.bias", "same"),
    "ln_2/scale": ("ln_2.weight", "same"),
    "ln_2/bias": ("ln_2.bias", "same"),
    "mlp/up/kernel": ("mlp.c_fc.weight", "transpose"),
    "mlp/up/bias": ("mlp.c_fc.bias", "same"),
    "mlp/down/kernel": ("mlp.c_proj.weight", "transpose"),
    "mlp/down/bias": ("mlp.c_proj.bias", "same"),
}
TRANSFORMERS = {
    "vision/class_embedding": ("vision_model.embeddings.class_embedding", "same"),
    "vision/patch_embedding/kernel": ("vision_model.embeddings.patch_embedding.weight", "patch"),
    "vision/position_embedding": ("vision_model.embeddings.position_embedding.weight", "same"),
    "vision/ln_pre/scale": ("vision_model.pre_layrnorm.weight", "same"),
    "vision/ln_pre/bias": ("vision_model.pre_layrnorm.bias", "same"),
    "vision/ln_post/scale": ("vision_model.post_layernorm.weight", "same"),
    "vision/ln_post/bias": ("vision_model.post_layernorm.bias", "same"),
    "vision/projection/kernel": ("visual_projection.weight", "transpose"),
    "text/token_embedding": ("text_model.embeddings.token_embedding.weight", "same"),
    "text/position_embedding": ("text_model.embeddings.position_embedding.weight", "same"),
    "text/ln_final/scale": ("text_model.final_layer_norm.weight", "same"),
    "text/ln_final/bias": ("text_model.final_layer_norm.bias", "same"),
    "text/projection/kernel": ("text_projection.weight", "transpose"),
    "logit_scale": ("logit_scale", "same"),
}
OPEN_CLIP = {
    "vision/class_embedding": ("visual.class_embedding", "same"),
    "vision/patch_embedding/kernel": ("visual.conv1.weight", "patch"),
    "vision/position_embedding": ("visual.positional_embedding", "same"),
    "vision/ln_pre/scale": ("visual.ln_pre.weight", "same"),
    "vision/ln_pre/bias": ("visual.ln_pre.bias", "same"),
    "vision/ln_post/scale": ("visual.ln_post.weight", "same"),
    "vision/ln_post/bias": ("visual.ln_post.bias", "same"),
    "vision/projection/kernel": ("visual.proj", "same"),
    "text/token_embedding": ("token_embedding.weight", "same"),
    "text/position_embedding": ("positional_embedding", "same"),
    "text/ln_final/scale": ("ln_final.weight", "same"),
    "text/ln_final/bias": ("ln_final.bias", "same"),
    "text/projection/kernel": ("text_projection", "same"),
    "logit_scale": ("logit_scale", "same"),
}


class Layout(NamedTuple):
    """The tensors of one kind of checkpoint.

    Attributes:
      config_file: The name of the configuration file.
      top: Parameter -> (tensor, transform), outside of blocks.
      block: Parameter -> (tensor, transform), in blocks.
      vision_layer: The prefix of a block of the vision tower.
      text_layer: The prefix of a block of the text tower.
      ignored: Tensors that some versions of the exporting library store and this package does not use:
        constant buffers, and the bias of logits, which does not change the softmax over texts.
      custom_text: Whether names of the text tower may start with "text.".
    """

    config_file: str
    top: dict[str, tuple[str, str]]
    block: dict[str, tuple[str, str]]
    vision_layer: str
    text_layer: str
    ignored: frozenset[str]
    custom_text: bool

    def tensors(self, config: CLIPConfig) -> dict[str, tuple[str, str]]:
        """Return the tensor and the transform of every parameter of a model, by the parameter's path."""
        towers = {"vision": self.vision_layer, "text": self.text_layer}
        table = dict(self.top)
        for tower, prefix in towers.items():
            table |= in_layers(self.block, getattr(config, tower).layers, tower, prefix)
        return table

    def own(self, tensors: Tensors) -> dict[str, np.ndarray]:
        """Return the tensors by the names of this layout, without ignored ones.

        Wrappers (see `checkpoints.names`) are removed, and with `custom_text` also the "text." that open_clip
        may put before the names of the text tower.
        """
        tensors = unwrapped(tensors, "logit_scale", *(name for name, _ in self.top.values()))
        shorter = {name.removeprefix("text."): tensor for name, tensor in tensors.items()}
        if self.custom_text and len(shorter) == len(tensors):
            tensors = shorter
        return {name: tensor for name, tensor in tensors.items() if name not in self.ignored}


LAYOUTS = {
    "transformers": Layout(
        "config.json",
        TRANSFORMERS,
        TRANSFORMERS_BLOCK,
        "vision_model.encoder.layers.{}",
        "text_model.encoder.layers.{}",
        frozenset(
            {"vision_model.embeddings.position_ids", "text_model.embeddings.position_ids", "logit_bias"}
        ),
        custom_text=False,
    ),
    "open_clip": Layout(
        "open_clip_config.json",
        OPEN_CLIP,
        OPEN_CLIP_BLOCK,
        "visual.transformer.resblocks.{}",
        "transformer.resblocks.{}",
        frozenset({"attn_mask", "logit_bias", "input_resolution", "context_length", "vocab_size"}),
        custom_text=True,
    ),
}


def clip_shapes(config: CLIPConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parameters of a CLIP by path ("vision/layer01/ln_1/scale")."""
    return parameter_shapes(config.vit(), config.text_transformer) | {"logit_scale": ()}


def tensor_shapes(config: CLIPConfig, layout: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors in a checkpoint of a layout, by name."""
    shapes, patch_size = clip_shapes(config), config.vision.patch_size
    table = LAYOUTS[layout].tensors(config).items()
    return {name: TRANSFORMS[kind].shape(shapes[path], patch_size) for path, (name, kind) in table}


def load_params(tensors: Tensors, config: CLIPConfig, layout: str, source: str) -> Params:
    """Convert a checkpoint's tensors to float32 parameters of `CLIPModule`.

    Args:
      tensors: Tensors of any float dtype by name; the names may be wrapped, see `Layout.own`.
      config: The model's shape.
      layout: "transformers" or "open_clip".
      source: The checkpoint's name in messages.

    Raises:
      InputError: Tensors are missing, unexpected, misshapen or not finite; one line names the first of each.
    """
    given = LAYOUTS[layout].own(tensors)
    if "logit_scale" in given and given["logit_scale"].shape == (1,):  # open_clip's `nonscalar_logit_scale`
        given["logit_scale"] = given["logit_scale"].reshape(())
    table, patch_size = LAYOUTS[layout].tensors(config), config.vision.patch_size
    return convert(given, table, clip_shapes(config), patch_size, source, "plain CLIP ViT")


def save_params(params: Params, config: CLIPConfig, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Return the tensors of a transformers checkpoint as `dtype` ("float32" or "float16")."""
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    tensors = {}
    for path, (name, kind) in LAYOUTS["transformers"].tensors(config).items():
        save = TRANSFORMS[kind].save
        assert save is not None, "every transform of the transformers layout has an inverse"
        tensors[name] = save(np.asarray(flat[path], np.float32)).astype(dtype)
    return tensors
