"""The contract of all frozen networks: images in, grids of patch tokens and an embedding out."""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.compilation_cache import limit_programs
from vlmad_jax.runtime.pickling import PickleFieldsOnly

Params = dict[str, Any]
Variables = dict[str, Any]  # the variables of a Flax module, {"params": ...}

# The largest size of constants in bytes. XLA allows 2 GiB in one program, and the rest is for other
# constants.
LARGEST_CONSTANTS = 2**31 - 2**28


class Tokens(NamedTuple):
    """The tokens and the embeddings of B images.

    Attributes:
      patches: For each of L layers, (B, P, D), row by row, without class and register tokens. D may differ
        between the layers of a convolutional network.
      classes: For each of L layers, the class token (B, D); None for a network without one.
      image: (B, E), the embedding of the image.
    """

    patches: tuple[jax.Array, ...]
    classes: tuple[jax.Array, ...] | None
    image: jax.Array


class Backbone(PickleFieldsOnly, abc.ABC):
    """A frozen network with its weights, a frozen dataclass.

    A family defines the attributes and what is abstract here.

    Attributes:
      family: The family's name, the `model_type` of its checkpoints.
      config: The shape of the network, a frozen dataclass that decides all but the weights.
      params: The parameters, those of the image encoder under "vision".
      dtype: The dtype of the inputs of products with weights, "float32", "bfloat16" or "int8".
      name: The path or hub id that the network was loaded from.
    """

    family: str
    config: Any
    params: Params
    dtype: str
    name: str

    @property
    @abc.abstractmethod
    def image_size(self) -> int:
        """The side in pixels of the images that the network was trained with."""

    @property
    @abc.abstractmethod
    def patch_size(self) -> int:
        """The side in pixels of the square that one patch token stands for."""

    @property
    @abc.abstractmethod
    def widths(self) -> tuple[int, ...]:
        """The number of channels after each layer; as many as there are layers."""

    @property
    def convolutional(self) -> bool:
        """Whether the network is convolutional, so that the length of features differs between layers."""
        return False

    @property
    def middle_layers(self) -> tuple[int, ...]:
        """The layers at half and at three quarters of the network, each once.

        Early layers see little more than single patches, and the last ones see the kind of object. Methods
        that compare patches were published with the two stages between.
        """
        depth = len(self.widths)
        return tuple(sorted({max(1, round(depth / 2)), max(1, round(depth * 3 / 4))}))

    @property
    @abc.abstractmethod
    def embed_dim(self) -> int:
        """E, the width of the image embedding."""

    @abc.abstractmethod
    def extract(
        self, variables: Variables, images: jax.Array, layers: Sequence[int], norm: bool = False
    ) -> Tokens:
        """Return the tokens after some layers, and the image embedding; a pure function.

        Args:
          variables: The variables of the image encoder, which `compile` passes.
          images: uint8 (B, height, width, 3).
          layers: The numbers of the layers, counted from 1.
          norm: Whether to apply the network's last norm to the tokens of each layer.
        """

    @property
    def resample(self) -> str:
        """The filter with which images are resized, a name in `data.images.FILTERS`.

        A family whose checkpoints were trained with another filter overrides it.
        """
        return "bicubic"

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches of an image; what does not fill a patch is cut off."""
        return height // self.patch_size, width // self.patch_size

    def features(
        self, images: Array, layers: Sequence[int], norm: bool = False
    ) -> dict[str, jax.Array | None]:
        """Return the tokens after some layers.

        Args:
          images: uint8 (B, height, width, 3).
          layers: The L numbers of the layers, counted from 1.
          norm: Whether to apply the network's last norm to each.

        Returns:
          "patches" (B, L, P, D), row by row, without class and register tokens, and "class" (B, L, D), or
          None for a network without a class token. Where the layers differ in their number of channels, those
          with fewer than D are filled up with zeros.

        Raises:
          InputError: The images have another type or shape, or are smaller than a patch; or there is no such
            layer.
        """
        check_layers(self, layers)
        check_images(images, "images", self.patch_size)
        tokens = self._features(tuple(layers), norm)(images)
        most = max(x.shape[-1] for x in tokens.patches)
        filled = [jnp.pad(x, ((0, 0), (0, 0), (0, most - x.shape[-1]))) for x in tokens.patches]
        classes = None if tokens.classes is None else jnp.stack(tokens.classes, axis=1)
        return {"patches": jnp.stack(filled, axis=1), "class": classes}

    def _features(self, layers: tuple[int, ...], norm: bool) -> Callable[[Array], Tokens]:
        if (layers, norm) not in self._programs:
            extract = functools.partial(self.extract, layers=layers, norm=norm)
            self._programs[layers, norm] = self.compile("vision", extract)
        return self._programs[layers, norm]

    @functools.cached_property
    def _programs(self) -> dict[tuple[tuple[int, ...], bool], Callable[[Array], Tokens]]:
        return {}

    def encode_image(self, images: Array) -> jax.Array:
        """Return the embeddings (B, E) of uint8 images (B, height, width, 3), not normalised.

        Raises:
          InputError: The images have another type or shape, or are smaller than a patch.
        """
        check_images(images, "images", self.patch_size)
        return self._encode_image(images)

    @functools.cached_property
    def _encode_image(self) -> Callable[[Array], jax.Array]:
        return self.compile("vision", lambda variables, images: self.extract(variables, images, ()).image)

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
          tower: "vision", or "text" where there is such a tower, whose variables are passed.
          function: A pure function of Flax variables and arguments.
          place: A function that puts the variables on devices, if they are arguments.
        """
        variables = {"params": self.params[tower]}
        if size := constant_bytes(self.params[tower]):
            limit_programs(size)
            return jax.jit(functools.partial(function, variables))
        return functools.partial(jax.jit(function), place(variables))

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the configuration and any parameter."""
        leaves = (np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(self.params))
        return fingerprint(itertools.chain([repr((self.config, self.dtype))], leaves))

    @functools.cached_property
    def identity(self) -> str:
        """16 hexadecimal digits that identify the backbone and are the same in every dtype.

        They depend on the configuration and all vectors, because norms, biases and the class token are
        float32 in any dtype.
        """
        vectors = [leaf for leaf in jax.tree.leaves(self.params) if jnp.ndim(leaf) == 1]
        return fingerprint([repr(self.config), *(np.asarray(x, np.float32).tobytes() for x in vectors)])

    @property
    def parameter_count(self) -> int:
        """The number of parameters."""
        return sum(np.size(leaf) for leaf in jax.tree.leaves(self.params))


def constant_bytes(params: Params) -> int:
    """Return the bytes of a tower that become constants: on a CPU all if XLA can hold them, else 0."""
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    return size if jax.default_backend() == "cpu" and size < LARGEST_CONSTANTS else 0


def check_layers(backbone: Backbone, layers: Sequence[int]) -> None:
    """Check that layers, counted from 1, are in the backbone.

    Raises:
      InputError: One is not, or there is none, or one repeats.
    """
    most = len(backbone.widths)
    for layer in layers:
        if not 1 <= layer <= most:
            raise InputError(f"feature layer {layer} does not fit this backbone; give 1 to {most}")
    if not layers or len(set(layers)) < len(layers):
        raise InputError(f"feature layers {layers} have to be one or more, each once")
