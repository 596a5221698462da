"""CLIP's vision transformer in PyTorch, with the names of open_clip's parameters and without its package."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from vlmad_jax.backbones.config import CLIPConfig


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), with which OpenAI's checkpoints were trained."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., D) to (..., D)."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A pre-norm residual attention block, whose attention is torch's fused one."""

    def __init__(self, width: int, heads: int, mlp_width: int, activation: nn.Module, eps: float) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.attn = nn.MultiheadAttention(width, heads)  # which names the parameters and is never called
        layers = {
            "c_fc": nn.Linear(width, mlp_width),
            "gelu": activation,
            "c_proj": nn.Linear(mlp_width, width),
        }
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output: (B, T, D) -> (B, T, D)."""
        q, k, v = self.heads(self.ln_1(x))
        x = x + self.attend(q, k, v)
        return x + self.mlp(self.ln_2(x))

    def two_paths(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the block's output, and its attention by the similarity of values: (B, T, D) each."""
        q, k, v = self.heads(self.ln_1(x))
        added = self.attend(v, v, v)
        x = x + self.attend(q, k, v)
        return x + self.mlp(self.ln_2(x)), added

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        """Return queries, keys and values: (B, T, D) -> (3, B, H, T, D/H)."""
        batch, tokens, _ = x.shape
        stacked = functional.linear(x, self.attn.in_proj_weight, self.attn.in_proj_bias)
        return stacked.view(batch, tokens, 3, self.attn.num_heads, -1).permute(2, 0, 3, 1, 4)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the projected attention, (B, T, D)."""
        out = functional.scaled_dot_product_attention(q, k, v)
        return self.attn.out_proj(out.transpose(1, 2).flatten(2))


class VisionTransformer(nn.Module):
    """CLIP's ViT, in the three steps that methods recombine."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        vision, eps = config.vision, config.layer_norm_eps
        self.patch_size = vision.patch_size
        self.conv1 = nn.Conv2d(3, vision.width, vision.patch_size, vision.patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(vision.width))
        self.positional_embedding = nn.Parameter(torch.zeros(vision.grid**2 + 1, vision.width))
        self.ln_pre, self.ln_post = nn.LayerNorm(vision.width, eps), nn.LayerNorm(vision.width, eps)
        activation = {"quick_gelu": QuickGELU, "gelu": nn.GELU}[config.activation]
        blocks = [
            Block(vision.width, vision.heads, vision.mlp_width, activation(), eps)
            for _ in range(vision.layers)
        ]
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(blocks)
        self.proj = nn.Parameter(torch.zeros(vision.width, config.embed_dim))

    def embed(self, images: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """Return tokens before the first norm, class token first: (B, 3, S, S) -> (B, T, D)."""
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        class_token = self.class_embedding.expand(len(images), 1, -1)
        positions = self.positional_embedding if positions is None else positions
        return torch.cat([class_token, patches], dim=1) + positions

    def encode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (B, E) of embedded tokens (B, T, D), class token first."""
        hidden = self.ln_pre(tokens)
        blocks: Any = self.transformer.resblocks
        for block in blocks:
            hidden = block(hidden)
        return self.ln_post(hidden[:, 0]) @ self.proj


class VisionModel(nn.Module):
    """A CLIP without its text transformer, in which parameters have the names that open_clip gives them."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.visual = VisionTransformer(config)
