"""A variational autoencoder: what it cannot draw again is a defect (Kingma and Welling, ICLR 2014).

The baseline of papers before vision-language models. A convolutional encoder and decoder learn to draw the
good images of one product again through a few latent numbers; a defect, never seen, is drawn as if it were
not there, and the squared error of a pixel is its score. CLIP is not used, but for the size of the images.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Detector, Scores, check_range
from vlmad_jax.scoring.maps import blur, upsample

Params = dict[str, Any]
State = Params
Carry = tuple[Params, Any]  # and the optimiser's state
Terms = dict[str, jax.Array]

# Feature maps of each convolution, and how many times coarser than before it sees the image.
WIDTHS = (32, 64, 128)
STRIDES = (4, 2, 2)
COARSEST = math.prod(STRIDES)
BATCH = 16
LEARNING_RATE = 1e-3
# Steps between looks at the loss, so that the device does not wait for the progress bar.
SHOW_EVERY = 50


@dataclass(frozen=True, eq=False)
class Autoencoder(Detector):
    """A convolutional variational autoencoder, trained on the good images of one product.

    Attributes:
      clip: gives the size of the images.
      image_size: S, the side of the images in pixels; None is the backbone's own.
      resolution: side of what is drawn, at most, in pixels; it is cut to a multiple of 16.
      latents: numbers that an image passes through.
      kl_weight: of the divergence from the prior; the variance of a pixel that the decoder takes for chance.
      steps: of training, each of at most 16 images: a minute on two cores.
      flips: whether the good images are also shown mirrored; left out, since for most products a mirrored
        part is a defect.
      blur_sigma: of the Gaussian over the map, in pixels; 0 is none.
      seed: of the first parameters, the order of the images and the noise.

    Raises:
      InputError: a setting below its least, or images smaller than 16 pixels.
    """

    clip: CLIP
    image_size: int | None = None
    resolution: int = 128
    latents: int = 64
    kl_weight: float = 0.01
    steps: int = 1000
    flips: bool = False
    blur_sigma: float = 4.0
    seed: int = 0

    name: ClassVar[str] = "autoencoder"
    references: ClassVar = "always"

    def __post_init__(self) -> None:
        check_range("image_size", self.size, COARSEST, None)
        check_range("resolution", self.resolution, COARSEST, None)
        check_range("latents", self.latents, 1, None)
        check_range("steps", self.steps, 1, None)
        for name in ("kl_weight", "blur_sigma"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} {getattr(self, name)} is below 0; give 0 or more")

    @classmethod
    def for_backbone(cls, clip: CLIP) -> Self:
        """At the backbone's own size, with a blur of 4 pixels of 256."""
        return cls(clip, blur_sigma=4 * clip.config.vision.image_size / 256)

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Errors of good images are far from their bound."""
        del references
        return math.inf, math.inf

    @property
    def size(self) -> int:
        """S, the side of the images it takes, in pixels."""
        return self.clip.config.vision.image_size if self.image_size is None else self.image_size

    @property
    def side(self) -> int:
        """R, the side of what is drawn: the largest multiple of 16 in size and resolution."""
        return min(self.size, self.resolution) // COARSEST * COARSEST

    @property
    def network(self) -> VariationalAutoencoder:
        """Encoder and decoder."""
        return VariationalAutoencoder(self.latents)

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> State:
        """Trains on the good images.

        Args:
          object_name: shown in the progress bar.
          references: uint8 (K, S, S, 3) good images.
          params: there are none to give; {} or None.

        Returns:
          The parameters of the network.

        Raises:
          InputError: no good images, or of another shape or type; parameters, of which there are none.
        """
        self.refuse_params(params)
        self.check_references(references is not None)
        references = np.asarray(references)
        check_images(references, "references", self.size, self.size)
        images = jnp.concatenate([self.resized(image[None]) for image in references])
        if self.flips:
            images = jnp.concatenate([images, images[:, :, ::-1]])
        state, _ = train_autoencoder(self.network, images, self.kl_weight, self.steps, self.seed, object_name)
        return state

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S): squared errors, 0 to 1, and the largest of an image."""
        del variables
        small = self.resized(images)
        found: Any = self.network.apply(state, small, jnp.zeros(self.latents))
        error = ((small - found["drawn"]) ** 2).mean(axis=-1)  # (B, R, R)
        maps = blur(upsample(error, (self.size, self.size)), self.blur_sigma)
        return Scores(maps.max(axis=(1, 2)), maps)

    def resized(self, images: Array) -> jax.Array:
        """Images uint8 (B, S, S, 3) at the side that is drawn: float32 (B, R, R, 3), 0 to 1."""
        shape = (len(images), self.side, self.side, 3)
        return jax.image.resize(jnp.asarray(images, jnp.float32) / 255, shape, "linear")


class VariationalAutoencoder(nn.Module):
    """Images (B, R, R, 3) of 0 to 1, R a multiple of 16, through `latents` numbers each."""

    latents: int

    @nn.compact
    def __call__(self, images: jax.Array, noise: jax.Array) -> dict[str, jax.Array]:
        """Noise (B, latents), standard normal, or 0 for the mean of the latents.

        Returns "drawn" (B, R, R, 3), 0 to 1, and of the latents "mean" and "log_variance" (B, latents).
        """
        x = images
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            x = nn.relu(nn.Conv(width, (3, 3))(to_channels(x, stride)))
        moments = nn.Dense(2 * self.latents)(x.reshape(len(x), -1))
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        latents = mean + jnp.exp(log_variance / 2) * noise  # section 2.4
        y = nn.Dense(x[0].size)(latents).reshape(x.shape)
        for width, stride in zip((*WIDTHS[-2::-1], 3), STRIDES[::-1], strict=True):
            y = to_pixels(nn.Conv(width * stride**2, (3, 3))(nn.relu(y)), stride)
        return {"drawn": nn.sigmoid(y), "mean": mean, "log_variance": log_variance}


# Sub-pixel convolutions (Shi et al. 2016): strided and transposed ones take four times as long on a CPU.


def to_channels(x: jax.Array, stride: int) -> jax.Array:
    """Squares of `stride` pixels side by side as channels: (B, h, w, c) -> (B, h / s, w / s, s s c)."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // stride, stride, width // stride, stride, channels)
    return squares.swapaxes(2, 3).reshape(batch, height // stride, width // stride, -1)


def to_pixels(x: jax.Array, stride: int) -> jax.Array:
    """The inverse of `to_channels`: (B, h, w, s s c) -> (B, s h, s w, c)."""
    batch, height, width, _ = x.shape
    squares = x.reshape(batch, height, width, stride, stride, -1)
    return squares.swapaxes(2, 3).reshape(batch, height * stride, width * stride, -1)


def elbo_terms(images: jax.Array, found: dict[str, jax.Array]) -> Terms:
    """The two terms of equation 10, means over images, both 0 or more.

    Args:
      images: (B, R, R, 3).
      found: what the network made of them.

    Returns:
      "reconstruction": half the squared error, summed over an image, which is the negative log-likelihood of
      a Gaussian decoder of variance 1 but for a constant; "divergence": of the latents from the standard
      normal (appendix B).
    """
    mean, log_variance = found["mean"], found["log_variance"]
    divergence = (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(axis=-1) / 2
    error = ((images - found["drawn"]) ** 2).sum(axis=(1, 2, 3)) / 2
    return {"reconstruction": error.mean(), "divergence": divergence.mean()}


def train_autoencoder(
    network: VariationalAutoencoder, images: jax.Array, kl_weight: float, steps: int, seed: int, name: str
) -> tuple[Params, np.ndarray]:
    """Trains by Adam, with a progress bar.

    Args:
      network: what to train.
      images: float32 (K, R, R, 3), 0 to 1.
      kl_weight: of the divergence in the loss.
      steps: of at most `BATCH` different images.
      seed: of the first parameters, the order of the images and the noise.
      name: shown in the progress bar.

    Returns:
      The parameters, and the loss of every step, (steps,).
    """
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    carry, losses = _start(network, key, images[:1]), []
    with tqdm(total=steps, desc=name, unit=" steps", dynamic_ncols=True, leave=False, disable=None) as bar:
        for number in range(steps):
            batch = images[rng.permutation(len(images))[:BATCH]]
            carry, loss = _step(network, carry, batch, jax.random.fold_in(key, number), kl_weight)
            losses.append(loss)
            if number % SHOW_EVERY == 0:
                bar.set_postfix_str(f"loss {float(loss):.1f}")
            bar.update()
    return carry[0], np.asarray(losses)


@functools.partial(jax.jit, static_argnums=0)
def _start(network: VariationalAutoencoder, key: jax.Array, images: jax.Array) -> Carry:
    import optax  # takes a tenth of a second to import

    params: Any = network.init(key, images, jnp.zeros(network.latents))
    return params, optax.adam(LEARNING_RATE).init(params)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(
    network: VariationalAutoencoder, carry: Carry, batch: jax.Array, key: jax.Array, kl_weight: float
) -> tuple[Carry, jax.Array]:
    import optax

    noise = jax.random.normal(key, (len(batch), network.latents))

    def loss(params: Params) -> jax.Array:
        found: Any = network.apply(params, batch, noise)
        terms = elbo_terms(batch, found)
        return terms["reconstruction"] + kl_weight * terms["divergence"]

    params, state = carry
    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optax.adam(LEARNING_RATE).update(gradient, state, params)
    return (optax.apply_updates(params, updates), state), value
