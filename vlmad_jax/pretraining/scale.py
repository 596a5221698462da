"""Cosines of images and words made smaller, and their scale larger by as much.

What a CLIP makes of an image and captions is the softmax of cosines times its scale; the smaller its cosines
differ, the larger the scale for the same answer. Methods with a temperature of their own, as WinCLIP's 0.07,
were made for models whose cosines differ little, because their images and words lie far apart (the modality
gap, Liang et al., NeurIPS 2022). This gives any model such a gap.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError
from vlmad_jax.scoring.prompts import WINCLIP

# What a caption's embedding is measured on.
OBJECT = "object"
# Up to this a scale is the same as another: checkpoints store its logarithm in float16.
ROUNDING = 0.01


def with_scale(clip: CLIP, scale: float) -> dict[str, Any]:
    """The parameters of `clip`, of cosines so much smaller that `scale` gives nearly the logits it had.

    Every caption gets the same large component along one direction u of the E dimensions, which images
    lose: the one in which both vary least. What the text's last layer norm scales sums to zero, so that
    nothing but its bias lies along the inverse k of those scales: there the component comes from.

    Raises:
      InputError: the model's own scale is larger, so that there is nothing to make smaller.
    """
    text, vision = clip.params["text"], clip.params["vision"]
    growth = scale / float(np.exp(clip.params["logit_scale"]))
    if abs(growth - 1) < ROUNDING:
        return {**clip.params, "logit_scale": jnp.log(jnp.float32(scale))}
    if growth < 1:
        raise InputError(f"--scale={scale:g} is below the {scale / growth:g} to begin with; give more")
    norm = {name: np.asarray(x, np.float64) for name, x in text["ln_final"].items()}
    words, images = (np.asarray(tower["projection"]["kernel"], np.float64) for tower in (text, vision))
    u = least_direction(
        words * norm["scale"][:, None],
        images * np.asarray(vision["ln_post"]["scale"], np.float64)[:, None],
    )
    sentences = WINCLIP.normal(OBJECT) + WINCLIP.anomalous(OBJECT)
    length = np.linalg.norm(np.asarray(clip.encode_text(sentences)), axis=-1).mean()
    k = 1 / norm["scale"]
    bias = norm["bias"] + k
    along = length * np.sqrt(growth**2 - 1) / (k @ bias)
    words, images = words - np.outer(words @ u, u), images - np.outer(images @ u, u)
    words += np.outer(k, along * u - k @ words / (k @ k))
    return {
        **clip.params,
        "text": {
            **text,
            "ln_final": {**text["ln_final"], "bias": jnp.asarray(bias, jnp.float32)},
            "projection": {"kernel": jnp.asarray(words, jnp.float32)},
        },
        "vision": {**vision, "projection": {"kernel": jnp.asarray(images, jnp.float32)}},
        "logit_scale": jnp.log(jnp.float32(scale)),
    }


def least_direction(*kernels: np.ndarray) -> np.ndarray:
    """The unit vector (E,) that matters least to all of them, (D, E) each, by their share of its square."""
    shares = sum(kernel.T @ kernel / (kernel**2).sum() for kernel in kernels)
    return np.linalg.eigh(shares)[1][:, 0]
