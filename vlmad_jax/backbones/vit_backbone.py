"""A backbone that is a vision transformer alone, without a text encoder."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from vlmad_jax.backbones.backbone import Backbone, Params, Tokens, Variables
from vlmad_jax.backbones.checkpoints.key_tables import Table, cast_matrices, convert, parameter_shapes
from vlmad_jax.backbones.checkpoints.names import unwrapped
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.backbones.positions import POSITION_RESIZES
from vlmad_jax.backbones.preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Normalisation,
    Preprocessing,
    read_preprocessing,
)
from vlmad_jax.backbones.transformer import ACTIVATIONS
from vlmad_jax.backbones.vit import VisionTransformer, ViTConfig
from vlmad_jax.errors import InputError

IMAGENET = Preprocessing(Normalisation(IMAGENET_MEAN, IMAGENET_STD))


@dataclass(frozen=True, eq=False)
class ViTBackbone(Backbone):
    """A vision transformer.

    Attributes:
      family: The family's name, the `model_type` of its checkpoints.
      config: The shape of the network.
      params: The parameters {"vision": ...}, as `VisionTransformer` names them.
      dtype: The dtype of the inputs of products with weights, "float32", "bfloat16" or "int8".
      name: The path or hub id that the network was loaded from.
      resample: The filter with which images are resized, "bicubic" or "bilinear".
    """

    family: str
    config: ViTConfig
    params: Params
    dtype: str = "float32"
    name: str = ""
    resample: str = "bicubic"

    def __repr__(self) -> str:
        shape = self.config
        return (
            f"{type(self).__name__}({self.name!r}, {self.family}, dtype={self.dtype!r}, images of "
            f"{shape.image_size} pixels in patches of {shape.patch_size}, {shape.layers} layers of "
            f"{shape.width}; {self.parameter_count:,} parameters)"
        )

    @property
    def image_size(self) -> int:
        """The side in pixels of the images that the network was trained with."""
        return self.config.image_size

    @property
    def patch_size(self) -> int:
        """The side of a patch in pixels."""
        return self.config.patch_size

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of the residual stream after each layer."""
        return (self.config.width,) * self.config.layers

    @property
    def embed_dim(self) -> int:
        """E, the width of the image embedding."""
        return self.config.width if self.config.embed_dim is None else self.config.embed_dim

    def with_position_resize(self, name: str) -> ViTBackbone:
        """Return the same network with another rule for resizing learned positions.

        Args:
          name: One of `positions.POSITION_RESIZES`.

        Raises:
          InputError: There is no such rule.
        """
        if name not in POSITION_RESIZES:
            raise InputError(f"position_resize {name!r} is not one of {', '.join(POSITION_RESIZES)}")
        return dataclasses.replace(self, config=dataclasses.replace(self.config, position_resize=name))

    def extract(
        self, variables: Variables, images: jax.Array, layers: Sequence[int], norm: bool = False
    ) -> Tokens:
        """Return the tokens after some layers, and the image embedding; see `Backbone.extract`."""
        vision = VisionTransformer(self.config, self.dtype).bind(variables)
        return vision.extract(images, layers, norm)


def load_vit(
    directory: pathlib.Path,
    name: str,
    dtype: str,
    configure: Callable[[dict[str, Any]], ViTConfig],
    table_of: Callable[[ViTConfig], Table],
    unused: Sequence[str] = (),
) -> ViTBackbone:
    """Load a vision transformer from a directory in the transformers layout.

    Args:
      directory: The directory.
      name: What it is called in messages.
      dtype: "float32", "bfloat16" or "int8".
      configure: Returns the shape that the entries of `config.json` describe, ImageNet's mean and std in it.
      table_of: Returns the tensor and the transform of each parameter.
      unused: The names of tensors that a checkpoint may have and that inference does not use.

    Raises:
      InputError: A file is absent, damaged, or describes another network than the family's.
    """
    path = directory / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    try:
        config = configure(raw)
        check_config(config)
    except (InputError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: {error}; this is not the file of a {raw['model_type']}") from error
    preprocessing = read_preprocessing(directory, IMAGENET)
    config = dataclasses.replace(
        config,
        image_mean=preprocessing.normalisation.mean,
        image_std=preprocessing.normalisation.std,
    )
    table = table_of(config)
    tensors = unwrapped(read_tensors(directory, "transformers"), *(tensor for tensor, _ in table.values()))
    wanted = {tensor for tensor, _ in table.values()}
    tensors = {tensor: x for tensor, x in tensors.items() if tensor in wanted or tensor not in unused}
    params = convert(
        tensors, table, parameter_shapes(config), config.patch_size, str(directory), raw["model_type"]
    )
    params = cast_matrices(params, dtype)
    return ViTBackbone(raw["model_type"], config, params, dtype, name, preprocessing.resample)


def check_config(config: ViTConfig) -> None:
    """Check that a shape makes sense.

    Raises:
      InputError: It does not; the message names the entry.
    """
    for name in ("width", "layers", "heads", "mlp_width", "image_size", "patch_size"):
        size = getattr(config, name)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InputError(f"{name} {size!r} is not a positive whole number")
    if config.width % config.heads:
        raise InputError(f"width {config.width} does not divide into {config.heads} heads")
    if config.positions == "rotary" and config.width // config.heads % 4:
        raise InputError(f"heads of width {config.width // config.heads} do not divide into four")
    if config.activation not in ACTIVATIONS:
        raise InputError(f"hidden_act {config.activation!r} is not one of {', '.join(ACTIVATIONS)}")
    if not 0 < config.eps < 1:
        raise InputError(f"layer_norm_eps {config.eps!r} is not a number between 0 and 1")


def square(raw: Mapping[str, Any], name: str, default: int) -> int:
    """Return a side in pixels that `config.json` gives as a number, or twice in a list.

    Raises:
      InputError: The two differ.
    """
    value = raw.get(name, default)
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) != 2 or sides[0] != sides[1]:
        raise InputError(f"{name} {value} is not that of squares")
    return sides[0]
