"""CLIP with its weights and tokenizer, as detectors use it and `load_clip` returns it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones import clip_weights as weights
from vlmad_jax.backbones.backbone import Backbone, Params, Tokens, Variables
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.backbones.checkpoints.key_tables import cast_matrices
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.backbones.config import CLIPConfig, read_config, stated_end, to_transformers
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.preprocessing import Normalisation, save_normalisation
from vlmad_jax.backbones.text_cache import cached_embeddings, parameters_digest
from vlmad_jax.backbones.text_transformer import TextTransformer
from vlmad_jax.backbones.tokenizer import (
    SavedTokenizer,
    check_tokens,
    load_tokenizer,
    shortened,
    tokenize,
    truncated_sentences,
)
from vlmad_jax.backbones.vit import VisionTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_enabled
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import warn

# The number of sentences encoded together, so that ensembles of any size compile once for each length.
TEXT_CHUNK = 128


@dataclass(frozen=True, eq=False)
class CLIP(Backbone):
    """A CLIP ViT.

    Attributes:
      config: The shape of the model.
      params: The parameters {"vision": ..., "text": ..., "logit_scale": ...}, as `CLIPModule` names them.
      tokenizer: The transformers tokenizer; None for `random_clip`, which encodes images alone.
      dtype: The dtype of the inputs of products with weights, "float32", "bfloat16" or "int8".
      name: The path or hub id that the model was loaded from.
    """

    config: CLIPConfig
    params: Params
    tokenizer: Any
    dtype: str = "float32"
    name: str = ""

    family: str = dataclasses.field(default="clip", init=False)

    def __repr__(self) -> str:
        vision, text = self.config.vision, self.config.text
        return (
            f"{type(self).__name__}({self.name!r}, dtype={self.dtype!r}, "
            f"images of {vision.image_size} pixels in patches of "
            f"{vision.patch_size}, {vision.layers} layers of {vision.width}; text of {text.context_length} "
            f"tokens, {text.layers} layers of {text.width}; embeddings of {self.config.embed_dim}; "
            f"{self.parameter_count:,} parameters)"
        )

    @property
    def image_size(self) -> int:
        """The side in pixels of the images that the network was trained with."""
        return self.config.vision.image_size

    @property
    def patch_size(self) -> int:
        """The side of a patch in pixels."""
        return self.config.vision.patch_size

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of the residual stream after each layer."""
        return (self.config.vision.width,) * self.config.vision.layers

    @property
    def embed_dim(self) -> int:
        """E, the width of the embeddings of images and sentences."""
        return self.config.embed_dim

    def vision(self, position_resize: str = "bicubic") -> VisionTransformer:
        """Return the vision transformer, to be bound to the variables that `compile` passes.

        `position_resize` is the rule for images of another size than the trained one; the default is that of
        open_clip, and `encode_image` uses it.
        """
        return VisionTransformer(self.config.vit(position_resize), self.dtype)

    def text(self) -> TextTransformer:
        """Return the text transformer, to be bound to the variables that `compile` passes."""
        return TextTransformer(self.config.text_transformer, self.dtype)

    def extract(
        self, variables: Variables, images: jax.Array, layers: Sequence[int], norm: bool = False
    ) -> Tokens:
        """Return the tokens after some layers, and the image embedding; see `Backbone.extract`."""
        return self.vision().bind(variables).extract(images, layers, norm)

    @functools.cached_property
    def _encode_text(self) -> Callable[[Array], jax.Array]:
        text = self.text()
        return self.compile("text", lambda variables, token_ids: text.bind(variables)(token_ids)[0])

    @functools.cached_property
    def _text_setting(self) -> str:
        """The key of everything that the embeddings of token ids depend on."""
        shape = (self.config.text, self.config.embed_dim, self.config.activation, self.config.layer_norm_eps)
        return f"{shape} {self.dtype} {parameters_digest(self.params['text'])}"

    def encode_text(self, sentences: Sequence[str]) -> jax.Array:
        """Return the embeddings (N, E) of N sentences, not normalised.

        A sentence longer than the context length is truncated, with a warning.

        Raises:
          InputError: There are no sentences, or a string in place of a list; the model has no tokenizer, or
            no embedding of a token.
        """
        if isinstance(sentences, str):
            raise InputError(f"{sentences!r} is one string; give a list of sentences")
        if not sentences:
            raise InputError("no sentence to encode; give at least one")
        self.warn_of_truncation(sentences)
        if not cache_enabled() or not isinstance(self.tokenizer, SavedTokenizer):
            return self._embed_sentences(sentences)
        setting = f"{self.tokenizer.digest} {self._text_setting}"
        return jnp.asarray(cached_embeddings(sentences, setting, lambda: self._embed_sentences(sentences)))

    def _embed_sentences(self, sentences: Sequence[str]) -> jax.Array:
        token_ids = self.token_ids(sentences)
        missing = -len(token_ids) % TEXT_CHUNK
        chunks = np.pad(token_ids, ((0, missing), (0, 0))).reshape(-1, TEXT_CHUNK, token_ids.shape[1])
        return jnp.concatenate([self._encode_text(chunk) for chunk in chunks])[: len(sentences)]

    def token_ids(self, sentences: Sequence[str], room: int = 0) -> np.ndarray:
        """Return the token ids int32 (N, T) of N sentences, truncated and padded as in `tokenizer.tokenize`.

        `room` is the number of tokens that precede a sentence's own, to be replaced by learned ones.

        Raises:
          InputError: The model has no tokenizer, or no embedding of a token.
        """
        text, tokenizer, sentences = self.config.text, self._own_tokenizer, with_room(sentences, room)
        token_ids = tokenize(tokenizer, sentences, text.context_length)
        check_tokens(tokenizer, sentences, token_ids, text.vocab_size, text.eos_token_id, self.name)
        return token_ids

    def truncated(self, sentences: Sequence[str], room: int = 0) -> list[str]:
        """Return the sentences that are longer than the context length without `room` tokens.

        Raises:
          InputError: The model has no tokenizer.
        """
        filled, length = with_room(sentences, room), self.config.text.context_length
        long = set(truncated_sentences(self._own_tokenizer, filled, length))
        return [sentence for sentence, whole in zip(sentences, filled, strict=True) if whole in long]

    def warn_of_truncation(self, sentences: Sequence[str], room: int = 0) -> None:
        """Warn of sentences longer than the context length, once for the same sentences."""
        if truncated := self.truncated(sentences, room):
            length = self.config.text.context_length
            message = (
                f"{len(truncated)} of {len(sentences)} sentences are truncated to {length} tokens, the first "
                f"is {shortened(truncated[0])}; give a shorter name or shorter prompts"
            )
            if message not in self._warnings:
                self._warnings.add(message)
                warn(message)

    @functools.cached_property
    def _warnings(self) -> set[str]:
        return set()

    @property
    def _own_tokenizer(self) -> Any:
        if self.tokenizer is None:
            raise InputError(f"{self.name}: has no tokenizer; load a checkpoint that holds one")
        return self.tokenizer


def with_room(sentences: Sequence[str], room: int) -> list[str]:
    """Return sentences after `room` words of one token each."""
    return ["X " * room + sentence for sentence in sentences]


class CLIPModule(nn.Module):
    """Both towers and the learned logit scale, to initialise and train all parameters together."""

    config: CLIPConfig
    dtype: str = "float32"

    def setup(self) -> None:
        """Make both towers and the logit scale."""
        self.vision = VisionTransformer(self.config.vit(), self.dtype)
        self.text = TextTransformer(self.config.text_transformer, self.dtype)
        # exp(2.6592) = 1 / 0.07, the start of CLIP's training.
        self.logit_scale = self.param("logit_scale", nn.initializers.constant(2.6592), ())

    def __call__(self, images: jax.Array, token_ids: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return image embeddings (B, E), text embeddings (N, E), and the scale of logits."""
        return self.vision(images)[0], self.text(token_ids)[0], jnp.exp(self.logit_scale)


def load_clip(path_or_hub_id: str | pathlib.Path, dtype: str = "float32") -> CLIP:
    """Load a published CLIP ViT or SigLIP with both towers, or a CLIP that `save_clip` wrote.

    Args:
      path_or_hub_id: A directory in the transformers layout (`config.json`, `model.safetensors` whole or
        sharded, or `pytorch_model.bin`; tokenizer) or the open_clip layout (`open_clip_config.json`,
        `open_clip_model.safetensors`); transformers' is preferred in one that has both. Anything else is the
        name of a repository on the Hugging Face hub, which is downloaded once.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed and is for inference alone.

    Raises:
      InputError: There is no such directory or repository, or its files are incomplete, damaged or not those
        of a network with a text encoder.
    """
    from vlmad_jax.backbones import load_backbone  # of which this is a part

    backbone = load_backbone(path_or_hub_id, dtype)
    if not isinstance(backbone, CLIP):
        raise InputError(
            f"{path_or_hub_id}: {backbone.family} has no text encoder; give the weights of a CLIP or SigLIP"
        )
    return backbone


def load(directory: pathlib.Path, name: str, dtype: str) -> CLIP:
    """Load the CLIP in a directory, which is called `name` in messages; see `load_clip`."""
    layout = layout_of(directory)
    path = directory / weights.LAYOUTS[layout].config_file
    config, end = read_config(path, layout), stated_end(path, layout)
    tensors = read_tensors(directory, layout)
    params = weights.load_params(tensors, config, layout, str(directory))
    tokenizer, end = load_tokenizer(directory, config.text.vocab_size, end)
    text = dataclasses.replace(config.text, eos_token_id=end)
    config = dataclasses.replace(config, text=text)
    return CLIP(config, cast_matrices(params, dtype), tokenizer, dtype, name)


def layout_of(directory: pathlib.Path) -> str:
    """Return the layout of a checkpoint, "transformers" or "open_clip", by its configuration file.

    A `config.json` of another library beside open_clip's files is ignored; timm's repositories have one.

    Raises:
      InputError: The directory has no configuration file.
    """
    present = [name for name, layout in weights.LAYOUTS.items() if (directory / layout.config_file).exists()]
    if len(present) == 2 and not hub.is_transformers(directory / "config.json"):
        return "open_clip"
    if present:
        return present[0]
    wanted = " or ".join(layout.config_file for layout in weights.LAYOUTS.values())
    raise InputError(f"{directory}: has no {wanted}; give the directory of a CLIP checkpoint")


def random_clip(config: CLIPConfig, seed: int = 0, dtype: str = "float32", tokenizer: Any = None) -> CLIP:
    """Return a CLIP of a shape with random weights, for training or for measuring speed."""
    side = config.vision.image_size
    params = jax.jit(CLIPModule(config).init)(
        jax.random.key(seed),
        jnp.zeros((1, side, side, 3), jnp.uint8),
        jnp.zeros((1, config.text.context_length), jnp.int32),
    )["params"]
    return CLIP(config, cast_matrices(params, dtype), tokenizer, dtype, "random weights")


def save_clip(clip: CLIP, directory: str | pathlib.Path, dtype: str = "float32") -> None:
    """Write a directory that `load_clip` and `transformers.CLIPModel.from_pretrained` load.

    Args:
      clip: A model with float32 parameters.
      directory: The directory, created if it is absent; files of the same names are replaced.
      dtype: The dtype of the stored tensors, "float32" or "float16".

    Raises:
      InputError: The model is of another family, or its matrices are int8.
    """
    if clip.family != CLIP.family:
        raise InputError(f"{clip.name}: a {clip.family} is not saved; copy the checkpoint it was loaded from")
    if clip.dtype == "int8":
        raise InputError(
            f"{clip.name}: int8 matrices cannot be saved as a checkpoint; load it with dtype float32"
        )
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_safetensors(directory / "model.safetensors", weights.save_params(clip.params, clip.config, dtype))
    config = to_transformers(clip.config) | {"dtype": dtype}
    write_json(directory / "config.json", config)
    normalisation = Normalisation(clip.config.image_mean, clip.config.image_std)
    save_normalisation(directory, normalisation, clip.config.vision.image_size)
    if clip.tokenizer is not None:
        clip.tokenizer.backend_tokenizer.no_truncation()  # left from its last use
        clip.tokenizer.save_pretrained(directory)
