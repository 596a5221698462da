"""WinCLIP and AnomalyCLIP in PyTorch as fast as plain PyTorch allows: whole batches, and fused attention.

No published code scores in this way. The published ones are in `torch_implementation.py`. The scores equal
those of our implementation.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional

from vlmad_jax.backbones.positions import resize_positions
from vlmad_jax.benchmark.torch_clip import VisionModel
from vlmad_jax.methods import AnomalyCLIP, WinCLIP


class BatchedWinCLIP:
    """WinCLIP, zero-shot.

    Args:
      model: The backbone.
      setting: The detector whose windows and temperature are used.
      text: The text features (2, E) of normal and anomalous.
    """

    def __init__(self, model: VisionModel, setting: WinCLIP, text: np.ndarray) -> None:
        self.visual, self.setting = model.visual, setting
        device = self.visual.proj.device
        self.text = functional.normalize(torch.from_numpy(text).to(device), dim=-1)
        self.windows = [torch.from_numpy(np.array(x)).to(device) for x in setting.windows]
        patches = setting.grid[0] * setting.grid[1]
        self.covers = [functional.one_hot(x, patches).sum(dim=1).float() for x in self.windows]  # (W, P)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score normalised images (B, 3, S, S) -> image scores (B,) and maps (B, S, S)."""
        tokens = self.visual.embed(images)
        score = self.probability(self.visual.encode(tokens))
        by_size = [self.probability(self.encode_windows(tokens, windows)) for windows in self.windows]
        with torch.autocast(score.device.type, enabled=False):
            patch_map = self.combine(score, by_size)
            size = self.setting.size
            return score, functional.interpolate(patch_map, size, mode="bilinear")[:, 0]

    def combine(self, score: torch.Tensor, by_size: list[torch.Tensor]) -> torch.Tensor:
        """Return the harmonic mean over windows, then over sizes and the image, (B, 1, rows, columns)."""
        rows, columns = self.setting.grid
        inverse = (1 / score)[:, None].expand(-1, rows * columns)
        for scores, covers in zip(by_size, self.covers, strict=True):
            inverse = inverse + (1 / scores) @ covers / covers.sum(dim=0)
        return ((1 + len(by_size)) / inverse).view(-1, 1, rows, columns)

    def encode_windows(self, tokens: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, W, E) of all windows (W, n) of embedded tokens (B, 1 + P, D)."""
        batch, _, width = tokens.shape
        inside = tokens[:, 1:][:, windows]  # (B, W, n, D)
        class_token = tokens[:, None, :1].expand(-1, len(windows), -1, -1)
        rows = torch.cat([class_token, inside], dim=2).view(-1, 1 + windows.shape[1], width)
        return self.visual.encode(rows).view(batch, len(windows), -1)

    def probability(self, features: torch.Tensor) -> torch.Tensor:
        """Return the probability of anomalous: (..., E) -> (...), float32."""
        return anomalous(features, self.text, self.setting.temperature)


class BatchedAnomalyCLIP:
    """AnomalyCLIP, whose blur runs on the device.

    Args:
      model: The backbone.
      setting: The detector whose sizes, layers and blur are used. Its attention has to be "vv".
      text: The text features (2, E) of normal and anomalous.
    """

    def __init__(self, model: VisionModel, setting: AnomalyCLIP, text: np.ndarray) -> None:
        self.visual, self.setting = model.visual, setting
        device = self.visual.proj.device
        self.text = functional.normalize(torch.from_numpy(text).to(device), dim=-1)
        own = self.visual.positional_embedding.detach().cpu().numpy()
        self.positions = torch.from_numpy(np.array(resize_positions(own, setting.grid, "bilinear"))).to(
            device
        )
        blur = gaussian_filter1d(np.eye(setting.size[0]), setting.blur_sigma, axis=0).astype(np.float32)
        self.blur = torch.from_numpy(blur).to(device)

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score normalised images (B, 3, S, S) -> image scores (B,) and maps (B, S, S)."""
        image, layers = self.encode(self.visual.embed(images, self.positions))
        score = anomalous(image @ self.visual.proj, self.text, self.setting.temperature)
        patches = self.visual.ln_post(torch.stack(layers, dim=1)[:, :, 1:]) @ self.visual.proj  # (B, L, P, E)
        maps = anomalous(patches, self.text, self.setting.temperature).unflatten(2, self.setting.grid)
        size = self.setting.size
        total = functional.interpolate(maps, size, mode="bilinear").sum(dim=1)  # (B, S, S)
        with torch.autocast(total.device.type, enabled=False):
            return score, self.blur @ total @ self.blur.T

    def encode(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the original stream's class token (B, D) and the tokens (B, T, D) of the feature layers."""
        own, local, kept = self.visual.ln_pre(tokens), None, []
        blocks = self.visual.transformer.resblocks
        for number, block in enumerate(blocks, start=1):
            if number > len(blocks) - self.setting.dpam_layers:
                before = own if local is None else local
                own, added = block.two_paths(own)
                local = before + added
            else:
                own = block(own)
            if number in self.setting.feature_layers:
                kept.append(own if local is None else local)
        return own[:, 0], kept


def anomalous(features: torch.Tensor, text: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the probability of the second of two texts (2, E): (..., E) -> (...), float32."""
    with torch.autocast(features.device.type, enabled=False):
        cosines = functional.normalize(features.float(), dim=-1) @ text.T
        return (cosines / temperature).softmax(dim=-1)[..., 1]
