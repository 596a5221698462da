"""The example of docs/backbones.md is a family like any other, and its table is that of the script."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.experiments.command import ROOT
from vlmad_jax import InputError, backbones, load_backbone
from vlmad_jax.backbones.checkpoints.key_tables import TRANSFORMS, parameter_shapes
from vlmad_jax.backbones.checkpoints.tensors import write_safetensors

TEXT = (ROOT / "docs/backbones.md").read_text()
CONFIG = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module in the document, put among the families."""
    code = next(
        x for x in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "FAMILIES" not in x and "TOP" in x
    )
    assert len([line for line in code.splitlines() if line]) <= 55
    module: Any = ModuleType("vlmad_jax.backbones.vit_imagenet")
    exec(compile(code, "docs/backbones.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(backbones.FAMILIES, "vit", "vit_imagenet")
    return module


def test_it_loads_a_checkpoint(family: Any, tmp_path: Path) -> None:
    rng, config = np.random.default_rng(0), family.configure(CONFIG)
    shapes, tensors = parameter_shapes(config), {}
    for path, (name, kind) in family.table(config).items():
        tensors[name] = rng.standard_normal(TRANSFORMS[kind].shape(shapes[path], 8)).astype(np.float32)
    assert set(family.table(config)) == set(shapes)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    write_safetensors(tmp_path / "model.safetensors", tensors)
    backbone = load_backbone(tmp_path)
    images = rng.integers(256, size=(2, 32, 48, 3), dtype=np.uint8)
    assert backbone.features(images, (1, 2))["patches"].shape == (2, 2, 4 * 6, 16)
    write_safetensors(tmp_path / "model.safetensors", tensors | {"odd": np.zeros(1, np.float32)})
    with pytest.raises(InputError, match="unexpected: odd"):
        load_backbone(tmp_path)


@pytest.mark.parity
def test_it_equals_transformers(family: Any, tmp_path: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(**CONFIG)).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    images = np.random.default_rng(0).integers(256, size=(2, 32, 32, 3), dtype=np.uint8)
    pixels = torch.from_numpy((images.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32))
    with torch.no_grad():
        expected = model(pixels).last_hidden_state.numpy()
    found = load_backbone(tmp_path).features(images, (2,), norm=True)
    np.testing.assert_allclose(found["patches"][:, 0], expected[:, 1:], atol=2e-5 * np.abs(expected).max())


def test_every_family_is_in_the_table() -> None:
    listed = set(re.findall(r"`([a-z0-9_]+)`", "".join(re.findall(r"^\| .*\|$", TEXT, re.MULTILINE))))
    named = set(backbones.FAMILIES) - {"siglip_vision_model", "efficientnet_lite"}
    assert named <= listed
