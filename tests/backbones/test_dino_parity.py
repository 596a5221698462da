"""DINOv2 and DINOv3 against `transformers` in torch, with random weights.

Run with `pip install torch==2.13.0` and `pytest -m parity`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmad_jax import load_backbone

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("as_people_run_it")]

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 8,
}
# name -> (classes of transformers, entries of the configuration)
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov2": ("Dinov2", TINY),
    "dinov2 without biases": ("Dinov2", TINY | {"qkv_bias": False, "mlp_ratio": 3}),
    "dinov2 gated": ("Dinov2", TINY | {"use_swiglu_ffn": True, "layer_norm_eps": 1e-5}),
    "registers": ("Dinov2WithRegisters", TINY),
    "registers gated": ("Dinov2WithRegisters", TINY | {"use_swiglu_ffn": True, "num_register_tokens": 2}),
    "dinov3": ("DINOv3ViT", TINY | {"intermediate_size": 128, "num_register_tokens": 4}),
    "dinov3 gated": (
        "DINOv3ViT",
        TINY | {"intermediate_size": 64, "use_gated_mlp": True, "hidden_act": "silu", "rope_theta": 50.0},
    ),
    "dinov3 without biases": (
        "DINOv3ViT",
        TINY
        | {"intermediate_size": 64, "query_bias": False, "value_bias": False, "proj_bias": False}
        | {"mlp_bias": False, "use_gated_mlp": True},
    ),
    "dinov3 with every bias": ("DINOv3ViT", TINY | {"intermediate_size": 64, "key_bias": True}),
}
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov2-with-registers-base": ("Dinov2WithRegisters", {"image_size": 518, "patch_size": 14}),
    "dinov3-vits16": ("DINOv3ViT", {"num_register_tokens": 4}),
}


def save(kind: str, entries: dict[str, Any], directory: Path) -> Any:
    """Save a network with random weights, all of them far from their initial values, and return it."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**entries)).eval()
    with torch.no_grad():
        for name, x in model.named_parameters():
            if "norm" in name or "scale" in name:
                x.add_(0.3 * torch.randn_like(x))
            else:
                x.copy_(
                    torch.randn_like(x)
                    * (0.5 if x.ndim == 1 or "embeddings" in name else x.shape[-1] ** -0.5)
                )
    model.save_pretrained(directory)
    (directory / "preprocessor_config.json").write_text(
        '{"image_processor_type": "BitImageProcessor", "resample": 3, '
        '"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
    )
    return model


def expected(
    model: Any, images: np.ndarray
) -> tuple[list[np.ndarray], Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return the hidden states after each layer, the last norm, and the image embedding."""
    import torch

    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    last = model.norm if hasattr(model, "norm") else model.layernorm

    def norm(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return last(torch.from_numpy(x)).numpy()

    with torch.no_grad():
        output = model(torch.from_numpy(pixels), output_hidden_states=True)
    return [x.numpy() for x in output.hidden_states[1:]], norm, output.pooler_output.numpy()


def compare(kind: str, entries: dict[str, Any], directory: Path, sizes: list[tuple[int, int]]) -> float:
    """Return the largest difference of features and embeddings, relative to their size."""
    model, largest = save(kind, entries, directory), 0.0
    backbone = load_backbone(directory)
    depth, prefix = len(backbone.widths), backbone.config.prefix
    layers = tuple(sorted({1, (depth + 1) // 2, depth}))
    for height, width in sizes:
        images = np.random.default_rng(height).integers(256, size=(2, height, width, 3), dtype=np.uint8)
        hidden, norm, embedding = expected(model, images)
        pairs = [(backbone.encode_image(images), embedding)]
        for normed in (False, True):
            found = backbone.features(images, layers, normed)
            states = np.stack([norm(hidden[n - 1]) if normed else hidden[n - 1] for n in layers], axis=1)
            pairs += [(found["patches"], states[:, :, prefix:]), (found["class"], states[:, :, 0])]
        for actual, wanted in pairs:
            assert actual.shape == wanted.shape
            largest = max(largest, float(np.abs(np.asarray(actual) - wanted).max() / np.abs(wanted).max()))
    return largest


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_option_at_every_size(name: str, tmp_path: Path) -> None:
    kind, entries = CONFIGURATIONS[name]
    sizes = [(56, 56), (80, 80), (40, 40), (48, 88)]
    assert compare(kind, entries, tmp_path, sizes) <= 2e-5


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes(name: str, tmp_path: Path) -> None:
    kind, entries = PUBLISHED[name]
    assert compare(kind, entries, tmp_path, [(224, 224)]) <= 2e-5
