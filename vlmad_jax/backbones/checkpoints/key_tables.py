"""Tensors of checkpoints by name, their conversion to parameters as data, and the parameters' dtypes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Params
from vlmad_jax.backbones.precision import dtype_of, quantise
from vlmad_jax.backbones.text_transformer import TextTransformer, TextTransformerConfig
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.backbones.vit import VisionTransformer, ViTConfig
from vlmad_jax.errors import InputError, few

Tensors = Mapping[str, np.ndarray]
Table = Mapping[str, tuple[str, str]]  # a parameter's path -> (tensor, name in TRANSFORMS)
Shapes = Mapping[str, tuple[int, ...]]


class Transform(NamedTuple):
    """The conversion of a stored tensor to a parameter.

    Attributes:
      load: A function of a stored tensor and the parameter's shape to the parameter.
      save: The inverse, or None.
      shape: A function of the parameter's shape and of the patch size to the stored shape.
    """

    load: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]
    save: Callable[[np.ndarray], np.ndarray] | None
    shape: Callable[[tuple[int, ...], int], tuple[int, ...]]


def part(n: int, of: int) -> Transform:
    """Return the transform of the n-th of several stacked matrices (O, I) or vectors (O,), from 0."""
    return Transform(lambda x, _: np.split(x, of)[n].T, None, lambda shape, _: (of * shape[-1], *shape[:-1]))


TRANSFORMS = {
    "same": Transform(lambda x, _: x, lambda x: x, lambda shape, _: shape),
    "transpose": Transform(lambda x, _: x.T, lambda x: x.T, lambda shape, _: shape[::-1]),
    # A convolution (D, 3, p, p) to rows of (p, p, 3) pixels.
    "patch": Transform(
        lambda x, shape: x.transpose(2, 3, 1, 0).reshape(shape),
        lambda x: x.reshape(side := round((x.shape[0] / 3) ** 0.5), side, 3, -1).transpose(3, 2, 0, 1),
        lambda shape, side: (shape[1], 3, side, side),
    ),
    # A leading axis of length 1, as in transformers' class tokens.
    "row": Transform(lambda x, shape: x.reshape(shape), lambda x: x[None], lambda shape, _: (1, *shape)),
    "first of rows": Transform(
        lambda x, shape: x.reshape(shape), lambda x: x[None, None], lambda shape, _: (1, 1, *shape)
    ),
    "scalar": Transform(lambda x, _: x.reshape(()), lambda x: x.reshape(1), lambda shape, _: (1,)),
    "query": part(0, 3),
    "key": part(1, 3),
    "value": part(2, 3),
    "gate": part(0, 2),
    "up": part(1, 2),
}


def in_layers(block: Table, layers: int, tower: str, prefix: str) -> dict[str, tuple[str, str]]:
    """Return the table of all blocks of a tower.

    Args:
      block: The table of one block.
      layers: The number of blocks.
      tower: The first part of the parameters' paths.
      prefix: The first part of the tensors' names, in which "{}" is the number of the block, from 0.
    """
    return {
        f"{tower}/{layer_name(n + 1)}/{path}": (f"{prefix.format(n)}.{name}", transform)
        for n in range(layers)
        for path, (name, transform) in block.items()
    }


def parameter_shapes(
    vision: ViTConfig, text: TextTransformerConfig | None = None
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parameters by path, "vision/layer01/ln_1/scale".

    Modules are traced with one layer, because all layers of a tower have the same shapes.
    """
    images = jax.ShapeDtypeStruct((1, vision.image_size, vision.image_size, 3), jnp.uint8)
    shapes = _tower_shapes("vision", VisionTransformer, vision, images)
    if text is None:
        return shapes
    token_ids = jax.ShapeDtypeStruct((1, text.context_length), jnp.int32)
    return shapes | _tower_shapes("text", TextTransformer, text, token_ids)


def _tower_shapes(tower: str, module: Any, config: Any, inputs: Any) -> dict[str, tuple[int, ...]]:
    short = module(dataclasses.replace(config, layers=1))
    params = dict(jax.eval_shape(short.init, jax.random.key(0), inputs)["params"])
    params |= {layer_name(n + 1): params[layer_name(1)] for n in range(config.layers)}
    flat = flax.traverse_util.flatten_dict({tower: params}, sep="/")
    return {path: leaf.shape for path, leaf in flat.items()}


def convert(
    tensors: Tensors, table: Table, shapes: Shapes, patch_size: int, source: str, what: str
) -> Params:
    """Convert a checkpoint's tensors to float32 parameters.

    Args:
      tensors: Tensors of any float dtype by name, those that are not used taken out.
      table: The tensor and the transform of each parameter.
      shapes: The shape of each parameter.
      patch_size: The side of a patch in pixels.
      source: The checkpoint's name in messages.
      what: The kind of network in messages, "plain CLIP ViT".

    Raises:
      InputError: Tensors are missing, unexpected, misshapen or not finite; one line names the first of each.
    """
    given = {name: x.astype(np.float32) for name, x in tensors.items()}
    wanted = {name: TRANSFORMS[kind].shape(shapes[path], patch_size) for path, (name, kind) in table.items()}
    check_tensors(given, wanted, source, what)
    flat = {
        path: np.asarray(TRANSFORMS[kind].load(given[name], shapes[path]), order="C")
        for path, (name, kind) in table.items()
    }
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def check_tensors(given: Tensors, wanted: Shapes, source: str, what: str) -> None:
    """Check that tensors have the expected names and shapes and are finite.

    Raises:
      InputError: They do not, or are not.
    """
    misshapen = [
        f"{name} {list(given[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in given and given[name].shape != shape
    ]
    damage = {
        "missing": sorted(set(wanted) - set(given)),
        "not finite": sorted(name for name, x in given.items() if not np.isfinite(x).all()),
    }
    misfits = {"unexpected": sorted(set(given) - set(wanted)), "misshapen": misshapen}
    complaints = damage | misfits
    if any(complaints.values()):
        order = ("missing", "unexpected", "misshapen", "not finite")
        listed = "; ".join(f"{what}: {few(complaints[what])}" for what in order if complaints[what])
        damaged = complaints["not finite"] or not any(misfits.values())
        remedy = "download it again" if damaged else f"give weights and configuration of one {what}"
        raise InputError(f"{source}: the tensors do not fit its configuration ({listed}); {remedy}")


def cast_matrices(params: Params, dtype: str) -> Params:
    """Return parameters whose matrices are `dtype`, on the default device; all others are float32.

    `Linear` would otherwise round them at every call. An int8 "kernel" (I, O) gets a float32 "scale" (1, O),
    which is no vector, so that `Backbone.identity` is the same in every dtype.
    """
    cast = {}
    for path, leaf in flax.traverse_util.flatten_dict(params).items():
        if path[-1] != "kernel":
            cast[path] = jnp.asarray(leaf, jnp.float32)
        elif dtype_of(dtype) == jnp.int8:
            with jax.default_device(jax.devices("cpu")[0]):  # other devices divide less exactly
                rounded = quantise(jnp.asarray(np.asarray(leaf), jnp.float32), 0)
            cast[path], cast[*path[:-1], "scale"] = map(jnp.asarray, map(np.asarray, rounded))
        else:
            cast[path] = jnp.asarray(leaf, dtype_of(dtype))
    return flax.traverse_util.unflatten_dict(cast)
