"""A variational autoencoder: what it cannot draw again is a defect (Kingma and Welling, ICLR 2014).

The baseline of papers before vision-language models. A convolutional encoder and decoder learn to draw the
good images of one product again through a few latent numbers; a defect, never seen, is drawn as if it were
not there, and the squared error of a pixel is its score. CLIP is not used, but for the size of the images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Detector, Scores, blur, upsample
from vlmad_jax.methods.limits import check_range
from vlmad_jax.methods.variational import COARSEST, VariationalAutoencoder, train_autoencoder

State = dict[str, Any]


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
