"""A variational autoencoder with reconstruction errors as scores (Kingma and Welling, ICLR 2014).

This is the baseline of papers before vision-language models. A convolutional encoder and decoder learn to
reconstruct the reference images of one category through a few latent variables. They reconstruct a defect
badly, because they never saw it, and the squared error of a pixel is its score. CLIP only gives the image
size.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Params, Scores, check_range
from vlmad_jax.methods.reconstruction import ReconstructionDetector, run_steps
from vlmad_jax.methods.subpixel import to_channels, to_pixels
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.maps import blur, upsample

# The width and the stride of each convolution.
WIDTHS = (32, 64, 128)
STRIDES = (4, 2, 2)
BATCH = 16
LEARNING_RATE = 1e-3


class State(NamedTuple):
    """The parameters of the network, trained on one category."""

    params: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Autoencoder(ReconstructionDetector):
    """A convolutional variational autoencoder, trained on the reference images of one category.

    Attributes:
      backbone: The frozen network, which gives the image size.
      image_size: The side of the images in pixels, or (height, width); None means the backbone's own.
      resolution: The longest side of reconstructions in pixels, rounded down to a multiple of 16.
      latents: The number of latent variables.
      kl_weight: The weight of the divergence from the prior, which is the variance of the decoder's pixels.
      steps: The number of training steps of at most 16 images; 1000 take a minute on two cores.
      flips: Whether to train on mirrored images too. By default they are not, because a mirrored part is a
        defect in most products.
      blur_sigma: The standard deviation of the map's blur in pixels; 0 means none.
      seed: The seed of the initial parameters, the order of the images and the noise.

    Raises:
      InputError: A hyper-parameter is out of range, or the images are smaller than 16 pixels.
    """

    backbone: Backbone
    image_size: ImageSize | None = None
    resolution: int = 128
    latents: int = 64
    kl_weight: float = 0.01
    steps: int = 1000
    flips: bool = False
    blur_sigma: float = 4.0
    seed: int = 0

    name: ClassVar[str] = "autoencoder"
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("latents", self.latents, 1, None)
        for name in ("kl_weight", "blur_sigma"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} {getattr(self, name)} is below 0; give 0 or more")

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> Self:
        """Return the setting for the backbone's own image size, with a blur of 4 pixels of 256."""
        return cls(backbone, blur_sigma=4 * backbone.image_size / 256)

    @property
    def total_stride(self) -> int:
        """The stride of the encoder in pixels."""
        return math.prod(STRIDES)

    @property
    def network(self) -> VariationalAutoencoder:
        """The encoder and decoder."""
        return VariationalAutoencoder(self.latents)

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Train on the reference images; the name is shown in the progress bar."""
        references = self.checked_references(references, params)
        images = jnp.concatenate([self.resized(image[None]) for image in references])
        if self.flips:
            images = jnp.concatenate([images, images[:, :, ::-1]])
        variables, _ = train_autoencoder(
            self.network, images, self.kl_weight, self.steps, self.seed, object_name
        )
        return State(**variables)

    def score_with(self, variables: Variables, state: State, images: jax.Array) -> Scores:
        """Return squared errors of pixels (B, h, w), 0 to 1, and their maximum in each image (B,)."""
        del variables
        small = self.resized(images)
        output: Any = self.network.apply(state._asdict(), small, jnp.zeros(self.latents))
        error = ((small - output.images) ** 2).mean(axis=-1)  # (B, h, w)
        maps = blur(upsample(error, self.size), self.blur_sigma)
        return Scores(maps.max(axis=(1, 2)), maps)


class Reconstruction(NamedTuple):
    """The output of the network.

    Attributes:
      images: (B, h, w, 3), 0 to 1.
      mean: (B, latents), of the latent variables.
      log_variance: (B, latents), of the latent variables.
    """

    images: jax.Array
    mean: jax.Array
    log_variance: jax.Array


class VariationalAutoencoder(nn.Module):
    """The convolutional encoder and decoder of images (B, h, w, 3), 0 to 1, h and w multiples of 16."""

    latents: int

    @nn.compact
    def __call__(self, images: jax.Array, noise: jax.Array) -> Reconstruction:
        """Reconstruct images; the noise (B, latents) is standard normal, or 0 for the latents' mean."""
        x = images
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            x = nn.relu(nn.Conv(width, (3, 3))(to_channels(x, stride)))
        moments = nn.Dense(2 * self.latents)(x.reshape(len(x), -1))
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        latents = mean + jnp.exp(log_variance / 2) * noise  # section 2.4
        y = nn.Dense(x[0].size)(latents).reshape(x.shape)
        for width, stride in zip((*WIDTHS[-2::-1], 3), STRIDES[::-1], strict=True):
            y = to_pixels(nn.Conv(width * stride**2, (3, 3))(nn.relu(y)), stride)
        return Reconstruction(nn.sigmoid(y), mean, log_variance)


class Terms(NamedTuple):
    """The two terms of the loss, equation 10, averaged over images; both are 0 or more.

    Attributes:
      reconstruction: Half the squared error, summed over an image. It is the negative log-likelihood of a
        Gaussian decoder of variance 1, up to a constant.
      divergence: The divergence of the latent variables from the standard normal (appendix B).
    """

    reconstruction: jax.Array
    divergence: jax.Array


def elbo_terms(images: jax.Array, output: Reconstruction) -> Terms:
    """Return the terms of the loss of images (B, h, w, 3) and their reconstruction."""
    mean, log_variance = output.mean, output.log_variance
    divergence = (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(axis=-1) / 2
    error = ((images - output.images) ** 2).sum(axis=(1, 2, 3)) / 2
    return Terms(error.mean(), divergence.mean())


Carry = tuple[Variables, Any]  # with the optimiser's state


def train_autoencoder(
    network: VariationalAutoencoder, images: jax.Array, kl_weight: float, steps: int, seed: int, name: str
) -> tuple[Variables, np.ndarray]:
    """Train a network with Adam and a progress bar.

    Args:
      network: The network.
      images: float32 (K, h, w, 3), 0 to 1.
      kl_weight: The weight of the divergence in the loss.
      steps: The number of steps of at most `BATCH` different images.
      seed: The seed of the initial parameters, the order of the images and the noise.
      name: The name in the progress bar.

    Returns:
      The variables of the network, and the loss of every step (steps,).
    """
    key, rng = jax.random.key(seed), np.random.default_rng(seed)

    def step(carry: Carry, number: int) -> tuple[Carry, jax.Array]:
        batch = images[rng.permutation(len(images))[:BATCH]]
        return _step(network, carry, batch, jax.random.fold_in(key, number), kl_weight)

    (variables, _), losses = run_steps(step, _start(network, key, images[:1]), steps, name)
    return variables, losses


@functools.partial(jax.jit, static_argnums=0)
def _start(network: VariationalAutoencoder, key: jax.Array, images: jax.Array) -> Carry:
    import optax  # takes a tenth of a second to import

    variables: Any = network.init(key, images, jnp.zeros(network.latents))
    return variables, optax.adam(LEARNING_RATE).init(variables)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(
    network: VariationalAutoencoder, carry: Carry, batch: jax.Array, key: jax.Array, kl_weight: float
) -> tuple[Carry, jax.Array]:
    import optax

    noise = jax.random.normal(key, (len(batch), network.latents))

    def loss(variables: Variables) -> jax.Array:
        output: Any = network.apply(variables, batch, noise)
        terms = elbo_terms(batch, output)
        return terms.reconstruction + kl_weight * terms.divergence

    variables, state = carry
    value, gradient = jax.value_and_grad(loss)(variables)
    updates, state = optax.adam(LEARNING_RATE).update(gradient, state, variables)
    return (optax.apply_updates(variables, updates), state), value
