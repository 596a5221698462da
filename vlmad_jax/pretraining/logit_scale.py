"""A change of parameters that shrinks cosines of images and texts and raises the logit scale to match.

CLIP's probabilities are the softmax of cosines times the logit scale, so that a larger scale makes up for
smaller differences of cosines. Methods with a fixed temperature, such as WinCLIP's 0.07, were designed for
models whose cosines differ little because the embeddings of images and texts lie far apart (the modality
gap, Liang et al., NeurIPS 2022). This change gives any model such a gap.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError
from vlmad_jax.scoring.prompts import WINCLIP

# The object in the prompts on which the length of text embeddings is measured.
OBJECT = "object"
# Logit scales that differ by less than this share are equal: checkpoints store their logarithm in float16.
TOLERANCE = 0.01


def with_logit_scale(clip: CLIP, scale: float) -> dict[str, Any]:
    """Return the parameters of `clip` with the logit scale `scale` and cosines that nearly keep its logits.

    Every text embedding gets the same large component along one direction u of the E dimensions, and image
    embeddings lose theirs. u is the direction in which both vary least. The normalised values of the text
    tower's last layer norm sum to zero, so that along the inverse k of its scales only its bias has a
    component; the component along u is made from that.

    Raises:
      InputError: `scale` is smaller than the logit scale of the model.
    """
    text, vision = clip.params["text"], clip.params["vision"]
    growth = scale / float(np.exp(clip.params["logit_scale"]))
    if abs(growth - 1) < TOLERANCE:
        return {**clip.params, "logit_scale": jnp.log(jnp.float32(scale))}
    if growth < 1:
        raise InputError(
            f"--logit_scale={scale:g} is below {scale / growth:g}, that of the initial model; give more"
        )
    norm = {name: np.asarray(x, np.float64) for name, x in text["ln_final"].items()}
    texts, images = (np.asarray(tower["projection"]["kernel"], np.float64) for tower in (text, vision))
    u = least_used_direction(
        texts * norm["scale"][:, None],
        images * np.asarray(vision["ln_post"]["scale"], np.float64)[:, None],
    )
    prompts = WINCLIP.normal(OBJECT) + WINCLIP.anomalous(OBJECT)
    length = np.linalg.norm(np.asarray(clip.encode_text(prompts)), axis=-1).mean()
    k = 1 / norm["scale"]
    bias = norm["bias"] + k
    along = length * np.sqrt(growth**2 - 1) / (k @ bias)
    texts, images = texts - np.outer(texts @ u, u), images - np.outer(images @ u, u)
    texts += np.outer(k, along * u - k @ texts / (k @ k))
    return {
        **clip.params,
        "text": {
            **text,
            "ln_final": {**text["ln_final"], "bias": jnp.asarray(bias, jnp.float32)},
            "projection": {"kernel": jnp.asarray(texts, jnp.float32)},
        },
        "vision": {**vision, "projection": {"kernel": jnp.asarray(images, jnp.float32)}},
        "logit_scale": jnp.log(jnp.float32(scale)),
    }


def least_used_direction(*kernels: np.ndarray) -> np.ndarray:
    """Return the unit vector (E,) along which the kernels (D, E), each scaled to norm 1, are smallest."""
    shares = sum(kernel.T @ kernel / (kernel**2).sum() for kernel in kernels)
    return np.linalg.eigh(shares)[1][:, 0]
