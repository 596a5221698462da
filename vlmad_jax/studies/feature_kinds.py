"""Kinds of features of one image, each compared with the same words, alone and together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from vlmad_jax.methods.detector import Scores
from vlmad_jax.methods.winclip import State, WinCLIP
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.probabilities import anomaly_probability
from vlmad_jax.scoring.windows import harmonic_aggregation
from vlmad_jax.studies.embeddings import Features


def plain_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """CLIP's own patch tokens, (B, rows, columns)."""
    return anomaly_probability(features.plain, text, winclip.temperature).reshape(-1, *winclip.grid)


def vv_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """Patch tokens of v-v attention, as AnomalyCLIP has them, (B, rows, columns)."""
    return anomaly_probability(features.vv, text, winclip.temperature).reshape(-1, *winclip.grid)


def window_map(winclip: WinCLIP, features: Features, text: jax.Array) -> jax.Array:
    """WinCLIP's windows, the mean over their sizes, (B, rows, columns)."""
    maps = [
        harmonic_aggregation(anomaly_probability(x, text, winclip.temperature), windows, winclip.grid)
        for x, windows in zip(features.windows, winclip.windows, strict=True)
    ]
    return jnp.stack(maps).mean(axis=0)


CLASS_TOKEN = "class token"
MAPS: dict[str, Callable[[WinCLIP, Features, jax.Array], jax.Array]] = {
    "plain patches": plain_map,
    "v-v patches": vv_map,
    "windows": window_map,
}


@dataclass(frozen=True)
class FeatureSum:
    """Scores by the probability of "defective", the mean over kinds of features.

    Attributes:
      winclip: whose windows and words are used.
      kinds: some of `CLASS_TOKEN` and `MAPS`. The class token has no place: it adds the same to every pixel.
    """

    winclip: WinCLIP
    kinds: tuple[str, ...]

    def score_features(self, state: State, features: Features) -> Scores:
        """The image score is the mean of the class token's and of the highest of each map."""
        winclip, text = self.winclip, state.text
        images, maps = [], []
        if CLASS_TOKEN in self.kinds:
            image = anomaly_probability(features.image[:, 0], text, winclip.temperature)
            images.append(image)
            maps.append(jnp.broadcast_to(image[:, None, None], (len(image), *winclip.grid)))
        for name, make in MAPS.items():
            if name in self.kinds:
                maps.append(make(winclip, features, text))
                images.append(maps[-1].max(axis=(1, 2)))
        pixels = upsample(jnp.stack(maps).mean(axis=0), (winclip.size, winclip.size))
        return Scores(jnp.stack(images).mean(axis=0), pixels)
