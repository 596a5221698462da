"""AnomalyCLIP's scoring in PyTorch on open_clip's modules, with the same steps as its authors' code.

The authors' code is not an installable package. This module follows it: attention is two batched products
with a softmax between them, the replaced layers compute both streams, maps are interpolated to the size of
the image, and scipy's Gaussian filter runs on the host. `tests/benchmark/test_peers.py` compares it with
our implementation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from vlmad_jax.backbones.positions import resize_positions
from vlmad_jax.methods import AnomalyCLIP


class TorchAnomalyCLIP:
    """A detector that scores images one at a time in the setting of one of our detectors.

    Args:
      model: An open_clip model.
      setting: The detector whose sizes, layers and blur are used. Its weights are not.
      text: The text features (2, E) of normal and anomalous.
    """

    def __init__(self, model: Any, setting: AnomalyCLIP, text: np.ndarray) -> None:
        self.visual, self.setting = model.visual, setting
        device = self.visual.proj.device
        self.text = functional.normalize(torch.from_numpy(text).to(device), dim=-1)
        positions = resize_positions(
            self.visual.positional_embedding.detach().cpu().numpy(), setting.grid, "bilinear"
        )
        self.positions = torch.from_numpy(np.array(positions)).to(device)

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score normalised images (B, 3, S, S) -> image scores (B,) and maps (B, S, S)."""
        scored = [self.score(one[None]) for one in batch]
        scores, maps = zip(*scored, strict=True)
        return torch.stack(scores), torch.stack(maps)

    def score(self, one: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score one image (1, 3, S, S) -> its score and its map (S, S)."""
        image, layers = self.encode(one)
        score = self.probabilities(image @ self.visual.proj)[0, 1]
        total: Any = 0
        for tokens in layers:
            patches = self.visual.ln_post(tokens[:, 1:]) @ self.visual.proj
            grid = self.probabilities(patches).reshape(1, *self.setting.grid, 2).permute(0, 3, 1, 2)
            normal, anomalous = functional.interpolate(grid.float(), self.setting.size, mode="bilinear")[0]
            total = total + (anomalous + 1 - normal) / 2
        blurred = gaussian_filter(total.cpu().numpy(), self.setting.blur_sigma)
        return score, torch.from_numpy(blurred)

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the original stream's class token (1, D) and the tokens (1, T, D) of the feature layers."""
        visual, setting = self.visual, self.setting
        patches = visual.conv1(image).flatten(2).transpose(1, 2)
        class_token = visual.class_embedding.expand(1, 1, -1)
        own = visual.ln_pre(torch.cat([class_token, patches], dim=1) + self.positions)
        blocks = visual.transformer.resblocks
        local, kept = None, []
        for number, block in enumerate(blocks, start=1):
            replaced = number > len(blocks) - setting.dpam_layers
            added, again = attend(block.attn, block.ln_1(own), replaced)
            if replaced:
                local = (own if local is None else local) + again
            own = own + added
            own = own + block.mlp(block.ln_2(own))
            if number in setting.feature_layers:
                kept.append(own if local is None else local)
        return own[:, 0], kept

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of normal and anomalous: (..., E) -> (..., 2)."""
        cosines = functional.normalize(features, dim=-1) @ self.text.T
        return (cosines / self.setting.temperature).softmax(dim=-1)


def attend(attention: Any, x: torch.Tensor, replaced: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return attention of queries and keys and, in a replaced layer, of values and values: (1, T, D) each."""
    _, tokens, width = x.shape
    stacked = functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    heads = stacked.reshape(1, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = heads

    def of(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1)
        return attention.out_proj((weights @ value).transpose(1, 2).reshape(1, tokens, width))

    return of(query, key), of(value, value) if replaced else None
