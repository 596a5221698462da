"""CLIP with its weights and tokenizer, as detectors use it and `load_clip` returns it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones import clip_weights as weights
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.backbones.config import CLIPConfig, read_config, stated_end, to_transformers
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.backbones.preprocessing import Normalisation, save_normalisation
from vlmad_jax.backbones.text_cache import cached_embeddings, parameters_digest
from vlmad_jax.backbones.tokenizer import (
    SavedTokenizer,
    check_tokens,
    load_tokenizer,
    shortened,
    tokenize,
    truncated_sentences,
)
from vlmad_jax.backbones.vit import CLIPModule, TextTransformer, VisionTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_enabled, fingerprint
from vlmad_jax.runtime.compilation_cache import limit_programs
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import warn
from vlmad_jax.runtime.pickling import PickleFieldsOnly

Variables = dict[str, Any]  # the variables of a Flax module, {"params": ...}

# The number of sentences encoded together, so that ensembles of any size compile once for each length.
TEXT_CHUNK = 128
# The largest size of constants in bytes. XLA allows 2 GiB in one program, and the rest is for other
# constants.
LARGEST_CONSTANTS = 2**31 - 2**28


@dataclass(frozen=True, eq=False)
class CLIP(PickleFieldsOnly):
    """A CLIP ViT.

    Attributes:
      config: The shape of the model.
      params: The parameters {"vision": ..., "text": ..., "logit_scale": ...}, as `CLIPModule` names them.
      tokenizer: The transformers tokenizer; None for `random_clip`, which encodes images alone.
      dtype: The dtype of the inputs of products with weights, "float32", "bfloat16" or "int8".
      name: The path or hub id that the model was loaded from.
    """

    config: CLIPConfig
    params: weights.Params
    tokenizer: Any
    dtype: str = "float32"
    name: str = ""

    def __repr__(self) -> str:
        vision, text = self.config.vision, self.config.text
        count = sum(np.size(leaf) for leaf in jax.tree.leaves(self.params))
        return (
            f"CLIP({self.name!r}, dtype={self.dtype!r}, images of {vision.image_size} pixels in patches of "
            f"{vision.patch_size}, {vision.layers} layers of {vision.width}; text of {text.context_length} "
            f"tokens, {text.layers} layers of {text.width}; embeddings of {self.config.embed_dim}; "
            f"{count:,} parameters)"
        )

    def vision(self, position_resize: str = "bicubic") -> VisionTransformer:
        """Return the vision transformer, to be bound to the variables that `compile` passes."""
        return VisionTransformer(self.config, self.dtype, position_resize)

    def compile(
        self,
        tower: str,
        function: Callable[..., Any],
        place: Callable[[Any], Any] = lambda variables: variables,
    ) -> Callable[..., Any]:
        """Compile `function(variables, *arguments)` to a function of the arguments alone.

        On a CPU the variables are constants of the program, so that XLA lays them out once and not at every
        call. On other devices they are arguments.

        Args:
          tower: "vision" or "text", whose variables are passed.
          function: A pure function of Flax variables and arguments.
          place: A function that puts the variables on devices, if they are arguments.
        """
        variables = {"params": self.params[tower]}
        if size := constant_bytes(self.params[tower]):
            limit_programs(size)
            return jax.jit(functools.partial(function, variables))
        return functools.partial(jax.jit(function), place(variables))

    @functools.cached_property
    def _encode_image(self) -> Callable[[Array], jax.Array]:
        def encode(variables: Any, images: jax.Array) -> jax.Array:
            vision = self.vision().bind(variables)
            return vision.encode_tokens(vision.embed(images))

        return self.compile("vision", encode)

    @functools.cached_property
    def _encode_text(self) -> Callable[[Array], jax.Array]:
        text = TextTransformer(self.config, self.dtype)
        return self.compile("text", lambda variables, token_ids: text.bind(variables)(token_ids)[0])

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the configuration and any parameter."""
        leaves = (np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(self.params))
        return fingerprint(itertools.chain([repr((self.config, self.dtype))], leaves))

    @functools.cached_property
    def _text_setting(self) -> str:
        """The key of everything that the embeddings of token ids depend on."""
        shape = (self.config.text, self.config.embed_dim, self.config.activation, self.config.layer_norm_eps)
        return f"{shape} {self.dtype} {parameters_digest(self.params['text'])}"

    @functools.cached_property
    def identity(self) -> str:
        """16 hexadecimal digits that identify the backbone and are the same in every dtype.

        They depend on the configuration and all vectors, because norms, biases and the class token are
        float32 in any dtype.
        """
        vectors = [leaf for leaf in jax.tree.leaves(self.params) if jnp.ndim(leaf) == 1]
        return fingerprint([repr(self.config), *(np.asarray(x, np.float32).tobytes() for x in vectors)])

    def encode_image(self, images: Array) -> jax.Array:
        """Return the embeddings (B, E) of uint8 images (B, S, S, 3), not normalised.

        If S is not the trained size, position embeddings are resized as in open_clip.

        Raises:
          InputError: The images have another type or shape, or are smaller than a patch.
        """
        check_images(images, "images", self.config.vision.patch_size)
        return self._encode_image(images)

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

    def token_ids(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the token ids int32 (N, T) of N sentences, truncated and padded as in `tokenizer.tokenize`.

        Raises:
          InputError: The model has no tokenizer, or no embedding of a token.
        """
        text, tokenizer = self.config.text, self._own_tokenizer
        token_ids = tokenize(tokenizer, sentences, text.context_length)
        check_tokens(tokenizer, sentences, token_ids, text.vocab_size, text.eos_token_id, self.name)
        return token_ids

    def truncated(self, sentences: Sequence[str]) -> list[str]:
        """Return the sentences that are longer than the context length.

        Raises:
          InputError: The model has no tokenizer.
        """
        return truncated_sentences(self._own_tokenizer, sentences, self.config.text.context_length)

    def warn_of_truncation(self, sentences: Sequence[str]) -> None:
        """Warn of sentences longer than the context length, once for the same sentences."""
        if truncated := self.truncated(sentences):
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


def load_clip(path_or_hub_id: str | pathlib.Path, dtype: str = "float32") -> CLIP:
    """Load a published CLIP ViT, or one that `save_clip` wrote.

    Args:
      path_or_hub_id: A directory in the transformers layout (`config.json`, `model.safetensors` whole or
        sharded, or `pytorch_model.bin`; tokenizer) or the open_clip layout (`open_clip_config.json`,
        `open_clip_model.safetensors`); transformers' is preferred in one that has both. Anything else is the
        name of a repository on the Hugging Face hub, which is downloaded once.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed and is for inference alone.

    Raises:
      InputError: There is no such directory or repository, or its files are incomplete, damaged or not those
        of a CLIP ViT.
    """
    dtype_of(dtype)
    directory = hub.locate(str(path_or_hub_id))
    layout = layout_of(directory)
    path = directory / weights.LAYOUTS[layout].config_file
    config, end = read_config(path, layout), stated_end(path, layout)
    tensors = read_tensors(directory, layout)
    params = weights.load_params(tensors, config, layout, str(directory))
    tokenizer, end = load_tokenizer(directory, config.text.vocab_size, end)
    text = dataclasses.replace(config.text, eos_token_id=end)
    return CLIP(
        dataclasses.replace(config, text=text),
        weights.cast_matrices(params, dtype),
        tokenizer,
        dtype,
        str(path_or_hub_id),
    )


def constant_bytes(params: weights.Params) -> int:
    """Return the bytes of a tower that `CLIP.compile` makes constants: all on a CPU if XLA can, else 0."""
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return size if jax.default_backend() == "cpu" and size < LARGEST_CONSTANTS else 0


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
    return CLIP(config, weights.cast_matrices(params, dtype), tokenizer, dtype, "random weights")


def save_clip(clip: CLIP, directory: str | pathlib.Path, dtype: str = "float32") -> None:
    """Write a directory that `load_clip` and `transformers.CLIPModel.from_pretrained` load.

    Args:
      clip: A model with float32 parameters.
      directory: The directory, created if it is absent; files of the same names are replaced.
      dtype: The dtype of the stored tensors, "float32" or "float16".

    Raises:
      InputError: The model's matrices are int8.
    """
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
