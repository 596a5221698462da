"""Each step of EfficientNet-Lite equals the same network in torch, with batch norms that are not folded.

Run `pip install torch==2.13.0` and `pytest -m parity tests/backbones/test_efficientnet_parity.py`.
"""

import math

import numpy as np
import pytest

from vlmad_jax import load_backbone
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.backbones.efficientnet_network import ConvNet

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("as_people_run_it")]

# The kernel and the stride of each bottleneck, as the paper lists them for the network that Lite 0 is.
LITE0 = [(3, 1), (3, 2), (3, 1), (5, 2), (5, 1), (3, 2), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1)]
LITE0 += [(5, 2), (5, 1), (5, 1), (5, 1), (3, 1)]
LITE2 = [(3, 1), (3, 2), (3, 1), (3, 1), (5, 2), (5, 1), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1)]
LITE2 += [(5, 1)] * 4 + [(5, 2)] + [(5, 1)] * 4 + [(3, 1)]
BLOCKS = {"efficientnet-lite0": LITE0, "efficientnet-lite2": LITE2}


class Reference:
    """The network, from the tensors of the file as torch itself loads them."""

    def __init__(self, name):
        import torch

        (file,) = hub.locate(name).glob("*.pth")
        self.tensors = torch.load(file, weights_only=True)
        self.blocks = BLOCKS[name]

    def convolve(self, x, name, stride=1):
        """Apply a convolution with TensorFlow's padding, depthwise if it has one channel in."""
        from torch.nn import functional

        weight = self.tensors[f"{name}.weight"]
        side, pads = weight.shape[-1], []
        for length in (x.shape[3], x.shape[2]):
            total = max((math.ceil(length / stride) - 1) * stride + side - length, 0)
            pads += [total // 2, total - total // 2]
        groups = x.shape[1] // weight.shape[1]
        return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)

    def norm(self, x, name):
        from torch.nn import functional

        parts = [self.tensors[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts, eps=1e-3)

    def bottleneck(self, x, number):
        from torch.nn import functional

        side, stride = self.blocks[number]
        name, y = f"_blocks.{number}", x
        if f"{name}._expand_conv.weight" in self.tensors:
            y = functional.relu6(self.norm(self.convolve(y, f"{name}._expand_conv"), f"{name}._bn0"))
        assert self.tensors[f"{name}._depthwise_conv.weight"].shape[-1] == side
        y = self.convolve(y, f"{name}._depthwise_conv", stride)
        y = functional.relu6(self.norm(y, f"{name}._bn1"))
        y = self.norm(self.convolve(y, f"{name}._project_conv"), f"{name}._bn2")
        return x + y if x.shape == y.shape else y

    def __call__(self, images):
        """Return each step's output by name, channels last, and the logits."""
        import torch
        from torch.nn import functional

        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
        x = functional.relu6(self.norm(self.convolve(pixels, "_conv_stem", 2), "_bn0"))
        outputs = {"stem": x}
        for number in range(len(self.blocks)):
            x = outputs[f"layer{number + 1:02d}"] = self.bottleneck(x, number)
        pooled = functional.relu6(self.norm(self.convolve(x, "_conv_head"), "_bn1")).mean((2, 3))
        logits = functional.linear(pooled, self.tensors["_fc.weight"], self.tensors["_fc.bias"])
        steps = {name: x.permute(0, 2, 3, 1).numpy() for name, x in outputs.items()}
        return steps | {"pooled": pooled.numpy(), "logits": logits.numpy()}


@pytest.mark.parametrize("size", [None, (150, 203)], ids=["its own size", "not square"])
@pytest.mark.parametrize("name", BLOCKS)
def test_each_step_equals_torchs(name, size):
    backbone = load_backbone(name)
    height, width = size or (backbone.image_size,) * 2
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    images[1] = np.linspace(0, 255, width)[None, :, None]
    expected = Reference(name)(images)
    logits, found = ConvNet(backbone.config).apply({"params": backbone.params["vision"]}, images)
    found = {**found, "logits": logits}
    assert list(found) == list(expected)
    assert len(found) == len(BLOCKS[name]) + 3
    for step, values in expected.items():
        assert found[step].shape == values.shape
        assert np.abs(found[step] - values).max() < 1e-4 * np.abs(values).max(), step


def test_backbone_returns_these_steps():
    backbone = load_backbone("efficientnet-lite0")
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)
    expected = Reference(backbone.name)(images)
    patches = backbone.features(images, (5,))["patches"]
    np.testing.assert_allclose(patches[0, 0], expected["layer05"].reshape(96, 40), atol=1e-3)
    np.testing.assert_allclose(backbone.encode_image(images), expected["pooled"], atol=1e-3)
    np.testing.assert_allclose(backbone.classify(images), expected["logits"], atol=1e-3)
