"""Other implementations of the same methods in PyTorch, measured in the same way as our own.

Weights, text features and images are those of `random_inputs.py`. Install `pip install -e '.[peers]'` first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.benchmark.jax_implementation import Round, Startup, TimedFunction
from vlmad_jax.benchmark.products import product_shapes
from vlmad_jax.benchmark.random_inputs import draw_images, draw_tensor, draw_text
from vlmad_jax.benchmark.setting import Setting
from vlmad_jax.benchmark.torch_peers import declare_vision_operators, import_torch
from vlmad_jax.methods import AnomalyCLIP
from vlmad_jax.runtime import machine

# The methods of each peer. anomalib has no AnomalyCLIP, and the code of its authors is not a package.
PEER_METHODS = {"anomalib": ("winclip",), "authors": ("anomalyclip",)}
# The architectures that the peers support: our names -> open_clip's.
OPEN_CLIP_NAMES = {"vit-b-16-plus-240": "ViT-B-16-plus-240", "vit-l-14-336": "ViT-L-14-336"}


class TorchImplementation:
    """A peer that scores the random images in float32 or under bfloat16 autocast.

    It has the methods of `JaxImplementation`.
    """

    def __init__(self, setting: Setting, dtype: str) -> None:
        self.setting, self.dtype = setting, dtype

    def start(self) -> Startup:
        """Build the model and call it twice.

        The work is the published one, since torch does not count operations.
        """
        torch = import_torch()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        score = PEERS[self.setting.method](self.setting, self.device)

        def call() -> Any:
            with torch.inference_mode(), self.autocast(torch):
                return score()

        self.job = TimedFunction(call, self.wait)
        on_cuda = self.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated() if on_cuda else machine.process_peak()
        self.products = self.make_products(torch)
        return Startup(self.job.first_call, peak, self.setting.published_flop, {"torch": torch.__version__})

    def autocast(self, torch: Any) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which a caller of the peer uses the dtype."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def wait(self, result: Any) -> None:
        """Wait until the device has finished all work."""
        if self.device.type == "cuda":
            import_torch().cuda.synchronize()

    def make_products(self, torch: Any) -> dict[tuple[int, int, int], TimedFunction]:
        """Return torch's products of the same shapes as ours. The machine's rate is the higher one."""
        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]

        def product(n: int, k: int, m: int) -> TimedFunction:
            left = torch.randn(n, k, device=self.device).to(dtype)
            right = torch.randn(m, k, device=self.device).to(dtype)
            return TimedFunction(lambda: torch.nn.functional.linear(left, right), self.wait)

        shapes = product_shapes(self.setting.config, self.device.type == "cpu")
        return {shape: product(*shape) for shape in shapes}

    def round(self) -> Round:
        """Time the peer and every product once."""
        rates = {(n, k, m): 2 * n * k * m / product.seconds() for (n, k, m), product in self.products.items()}
        return Round(self.job.seconds(), rates)

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Return image scores (B,) and maps (B, S, S)."""
        image, maps = self.job.function()
        return image.float().cpu().numpy(), maps.float().cpu().numpy()


def winclip(setting: Setting, device: Any) -> Callable[[], Any]:
    """Return a function that scores the images with WinCLIP of anomalib."""
    torch = import_torch()
    declare_vision_operators()
    from anomalib.models.image.winclip import torch_model

    with mock.patch.object(torch_model, "PRETRAINED", None):  # so that no weights are downloaded
        peer = torch_model.WinClipModel(scales=setting.options.window_sizes or (2, 3))
    draw_into(peer.clip)
    peer._text_embeddings = torch.from_numpy(draw_text(setting.config))
    peer = peer.eval().to(device)
    images = normalised(setting, setting.config.vision.image_size, device)

    def score() -> Any:
        out = peer(images)
        return out.pred_score, out.anomaly_map

    return score


def anomalyclip(setting: Setting, device: Any) -> Callable[[], Any]:
    """Return a function that scores the images as AnomalyCLIP's authors do, one at a time and unfused."""
    declare_vision_operators()
    import open_clip

    from vlmad_jax.benchmark.torch_anomalyclip import TorchAnomalyCLIP

    detector = AnomalyCLIP.for_backbone(CLIP(setting.config, {}, None))
    quick = setting.config.activation == "quick_gelu"  # a name that some versions lack
    model = open_clip.create_model(OPEN_CLIP_NAMES[setting.arch], force_quick_gelu=quick).eval()
    draw_into(model)
    peer = TorchAnomalyCLIP(model.to(device), detector, draw_text(setting.config))
    images = normalised(setting, detector.size[0], device)
    return lambda: peer(images)


def batched(setting: Setting, device: Any, compiled: bool = False) -> Callable[[], Any]:
    """Return a function that scores the images in whole batches with fused attention.

    It needs no package but torch.

    Args:
      setting: The setting, of winclip or anomalyclip.
      device: The device of torch.
      compiled: Whether `torch.compile` compiles the backbone's blocks.
    """
    torch = import_torch()
    from vlmad_jax.benchmark.torch_batched import BatchedAnomalyCLIP, BatchedWinCLIP
    from vlmad_jax.benchmark.torch_clip import Block, VisionModel

    detector: Any = setting.detector(CLIP(setting.config, {}, None))
    model = VisionModel(setting.config)
    draw_into(model)
    model = model.eval().to(device)
    if compiled:
        blocks: list[Any] = [x for x in model.modules() if isinstance(x, Block)]
        for block in blocks:
            block.forward = torch.compile(block.forward, dynamic=False)
            block.two_paths = torch.compile(block.two_paths, dynamic=False)
    kinds: dict[str, Callable[..., Any]] = {"winclip": BatchedWinCLIP, "anomalyclip": BatchedAnomalyCLIP}
    peer = kinds[setting.method](model, detector, draw_text(setting.config))
    images = normalised(setting, detector.size[0], device)
    return lambda: peer(images)


PEERS = {"winclip": winclip, "anomalyclip": anomalyclip}


def draw_into(model: Any) -> None:
    """Set the parameters of an open_clip model to the random weights."""
    torch = import_torch()
    for name, parameter in model.named_parameters():
        parameter.data.copy_(torch.from_numpy(draw_tensor(name, tuple(parameter.shape))))


def normalised(setting: Setting, size: int, device: Any) -> Any:
    """Return the random images, normalised for the peer, float32 (B, 3, S, S)."""
    torch = import_torch()
    config = setting.config
    pixels = torch.from_numpy(draw_images(setting.batch_size, size)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (config.image_mean, config.image_std))
    return ((pixels - mean) / std).to(device)
