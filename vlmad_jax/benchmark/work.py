"""The work of scoring an image or training on it, in floating-point operations of matrix products.

A product of (n, k) and (k, m) is 2 n k m operations. Norms, softmax and activations are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.config import CLIPConfig, TextConfig, VisionConfig
from vlmad_jax.errors import InputError
from vlmad_jax.methods import AnomalyCLIP, AprilGAN
from vlmad_jax.scoring.windows import sliding_windows


def winclip_flop(config: CLIPConfig, window_sizes: tuple[int, ...] | None = None, shots: int = 0) -> int:
    """Return the published work of WinCLIP for one image, at the backbone's own image size.

    The count includes the patch embedding; all layers for all tokens of the whole image and of every window,
    each with a class token (queries, keys, values, both products of attention, output, MLP); the projections
    of the class tokens; their cosines with two texts; and with references the cosines of windows and patches
    with the memory. ViT-B/16-plus-240 with windows of 2 and 3 needs 673 GFLOP, of which the layers' weights
    are 670.

    Args:
      config: The backbone.
      window_sizes: The sides of the windows in patches. None is 2 and 3.
      shots: K, the number of reference images.

    Raises:
      InputError: A window is larger than the grid.
    """
    vision, embedding = config.vision, config.embed_dim
    window_sizes = (2, 3) if window_sizes is None else window_sizes
    patches = vision.grid**2

    def encoder(tokens: int) -> int:
        layer = weights_flop(vision, tokens) + attention_flop(vision, tokens)
        return vision.layers * layer + 2 * vision.width * embedding

    counts = {size: len(sliding_windows((vision.grid, vision.grid), size)) for size in window_sizes}
    embed = 2 * patches * (3 * vision.patch_size**2) * vision.width
    encode = encoder(1 + patches) + sum(count * encoder(1 + size**2) for size, count in counts.items())
    texts = 2 * (1 + sum(counts.values())) * embedding * 2
    nearest = 2 * shots * (patches**2 * vision.width + sum(n**2 for n in counts.values()) * embedding)
    return embed + encode + texts + nearest


def anomalyclip_flop(config: CLIPConfig, window_sizes: tuple[int, ...] | None = None, shots: int = 0) -> int:
    """Return the published work of AnomalyCLIP for one image, in the setting of `AnomalyCLIP.for_backbone`.

    The count includes the patch embedding; all layers for all tokens; both products of v-v attention in the
    replaced layers and its output; the projections of the class token and of the patches of each feature
    layer; and their cosines with two texts. ViT-L/14@336 at 518 pixels needs 1,223 GFLOP.

    Args:
      config: The backbone.
      window_sizes: None, since the method has no windows.
      shots: 0, since the method uses no reference images.

    Raises:
      InputError: `window_sizes` or `shots` is given.
    """
    if window_sizes is not None or shots:
        raise InputError("anomalyclip has no windows and no references; drop --window_sizes and --shots")
    vision, embedding = config.vision, config.embed_dim
    setting = AnomalyCLIP.for_backbone(CLIP(config, {}, None))
    patches = setting.grid[0] * setting.grid[1]
    tokens = 1 + patches
    attention = attention_flop(vision, tokens)
    layer = weights_flop(vision, tokens) + attention
    second_stream = setting.dpam_layers * (attention + 2 * tokens * vision.width**2)  # with the output
    read = 1 + len(setting.feature_layers) * patches
    embed = 2 * patches * (3 * vision.patch_size**2) * vision.width
    projected = 2 * read * embedding * (vision.width + 2)
    return embed + vision.layers * layer + second_stream + projected


def aprilgan_flop(config: CLIPConfig, window_sizes: tuple[int, ...] | None = None, shots: int = 0) -> int:
    """Return the published work of APRIL-GAN for one image, in the setting of `AprilGAN.for_backbone`.

    The count includes the patch embedding; all layers for all tokens; the projections of the class token and
    of the patches of each feature layer; their cosines with two texts; and with references the cosines of
    those patches with the memory.

    Args:
      config: The backbone.
      window_sizes: None, since the method has no windows.
      shots: K, the number of reference images.

    Raises:
      InputError: `window_sizes` is given.
    """
    if window_sizes is not None:
        raise InputError("aprilgan has no windows; drop --window_sizes")
    vision, embedding = config.vision, config.embed_dim
    setting = AprilGAN.for_backbone(CLIP(config, {}, None))
    patches = setting.grid[0] * setting.grid[1]
    layer = weights_flop(vision, 1 + patches) + attention_flop(vision, 1 + patches)
    read = 1 + len(setting.feature_layers) * patches
    embed = 2 * patches * (3 * vision.patch_size**2) * vision.width
    nearest = 2 * shots * len(setting.feature_layers) * patches**2 * vision.width
    return embed + vision.layers * layer + 2 * read * embedding * (vision.width + 2) + nearest


def projection_training_flop(config: CLIPConfig) -> int:
    """Return the work of training APRIL-GAN's projections, for one image and without its encoding.

    The count is that of the projections' gradient, which equals the projection of the patches. The gradient
    of the cosines with two texts is not counted.
    """
    setting = AprilGAN.for_backbone(CLIP(config, {}, None))
    patches = len(setting.feature_layers) * setting.grid[0] * setting.grid[1]
    return 2 * patches * config.vision.width * config.embed_dim


def prompt_training_flop(config: CLIPConfig) -> int:
    """Return the published work of a training step of AnomalyCLIP's prompts, without that of its images.

    The count includes the forward and backward pass of two prompts of full length through the text
    transformer. Its weights are frozen, so that the backward pass costs as much as the forward pass, except
    for attention, whose products have two gradients each.
    """
    text = config.text
    tokens = text.context_length
    return 2 * text.layers * (2 * weights_flop(text, tokens) + 3 * attention_flop(text, tokens))


def weights_flop(shape: VisionConfig | TextConfig, tokens: int) -> int:
    """Return the work of one layer's weights for T tokens: queries, keys, values, output and MLP."""
    return 2 * tokens * shape.width * (4 * shape.width + 2 * shape.mlp_width)


def attention_flop(shape: VisionConfig | TextConfig, tokens: int) -> int:
    """Return the work of one layer's attention for T tokens: queries with keys, and weights with values."""
    return 2 * (2 * tokens * tokens * shape.width)


def matmul_flop(function: Callable[..., Any], *arguments: Any) -> int:
    """Count the work of a JAX function in its traced program, without running it.

    Unlike XLA's cost analysis, it multiplies the body of a scan (and so of `jax.lax.map`) by its length.

    Args:
      function: The function, jitted or not.
      arguments: Arrays or `jax.ShapeDtypeStruct`s.

    Raises:
      ValueError: The number of products is unknown before running (in a while loop or a branch), or there is
        a convolution.
    """
    return _jaxpr_flop(jax.make_jaxpr(function)(*arguments).jaxpr)


def _jaxpr_flop(jaxpr: Jaxpr) -> int:
    total = 0
    equation: Any  # jax types its operands as abstract values without a shape
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[i] for i in contracted)
            continue
        inner = sum(map(_jaxpr_flop, _inner_jaxprs(equation.params)))
        if name == "conv_general_dilated" or (inner and name in ("while", "cond")):
            raise ValueError(f"the work of {name} cannot be counted before it runs")
        total += inner * (equation.params["length"] if name == "scan" else 1)
    return total


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item
