from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest

from tests.benchmark.settings import SMALL, small
from vlmad_jax.benchmark import measure, run
from vlmad_jax.benchmark.jax_implementation import Round
from vlmad_jax.benchmark.random_inputs import draw_clip, draw_images, draw_tensor, draw_text
from vlmad_jax.benchmark.table import comparison_lines
from vlmad_jax.errors import InputError
from vlmad_jax.methods import AnomalyCLIP
from vlmad_jax.methods.anomalyclip import State


def test_random_tensors_depend_on_name_and_shape_alone():
    first, again = (draw_tensor("visual.proj", (16, 8)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - draw_tensor("visual.conv1.weight", (16, 8))).max() > 0.1
    assert float(first.std()) == pytest.approx(8**-0.5, rel=0.15)
    assert draw_tensor("ln_final.weight", (4,)).tolist() == [1, 1, 1, 1]
    assert draw_tensor("ln_final.bias", (4,)).tolist() == [0, 0, 0, 0]
    assert float(draw_tensor("logit_scale", ())) == pytest.approx(4.60517)


def test_a_random_clip_has_the_random_tensors():
    params = draw_clip(SMALL, "float32").params
    np.testing.assert_array_equal(
        params["vision"]["projection"]["kernel"], draw_tensor("visual.proj", (16, 8))
    )
    stacked = draw_tensor("visual.transformer.resblocks.1.attn.in_proj_weight", (48, 16))
    value = params["vision"]["layer02"]["attention"]["value"]["kernel"]
    np.testing.assert_array_equal(value, stacked[32:].T)


@pytest.mark.parametrize(
    ("changes", "against", "message"),
    [
        ({}, "torch", "--against=torch is not one of anomalib, authors"),
        ({}, "authors", "--against=authors supports --method=anomalyclip with --arch=vit-b-16-plus-240 or"),
        ({"arch": "vit-b-32"}, "anomalib", "--against=anomalib supports --method=winclip"),
        ({"arch": "vit-b-16-plus-240", "shots": 1}, "anomalib", "supports --work=score and --shots=0"),
        ({"arch": "vit-b-16-plus-240", "merge_tokens": 1}, "anomalib", "drop --window_stride"),
    ],
)
def test_peers_that_do_not_support_the_setting(changes, against, message):
    with pytest.raises(InputError, match=message):
        run(small(**changes), ["float32"], against=against)


def test_comparison_by_hand():
    def rounds(*calls: float) -> list[Round]:
        return [Round(call, {}) for call in calls]

    def scores(*values: float) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(1), np.array(values, np.float32)

    compared = measure.comparison(
        ["float32"],
        ["anomalib float32"],
        {"float32": rounds(1.0, 2.0, 4.0), "anomalib float32": rounds(3.0, 8.0, 40.0)},
        {"float32": scores(0.5, 0.25), "anomalib float32": scores(0.5, 0.75)},
    )
    assert compared == {
        "ratios": {"float32": {"anomalib float32": 4.0}},
        "differences": {"float32": {"anomalib float32": 0.5}},
    }
    assert comparison_lines(compared) == [
        "",
        "float32 is 4.00 times as fast as anomalib float32; maps differ by at most 5.0e-01",
    ]


@pytest.mark.parity
def test_anomalyclip_in_torch_equals_ours():
    """The modules have open_clip's names, so that open_clip itself is not needed."""
    import torch
    from torch import nn

    from vlmad_jax.benchmark.torch_anomalyclip import TorchAnomalyCLIP
    from vlmad_jax.benchmark.torch_implementation import draw_into, normalised

    vision = SMALL.vision

    class QuickGELU(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(1.702 * x)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(vision.width), nn.LayerNorm(vision.width)
            self.attn = nn.MultiheadAttention(vision.width, vision.heads)
            up, down = (vision.width, vision.mlp_width), (vision.mlp_width, vision.width)
            layers = {"c_fc": nn.Linear(*up), "gelu": QuickGELU(), "c_proj": nn.Linear(*down)}
            self.mlp = nn.Sequential(OrderedDict(layers))

    visual = nn.Module()
    visual.conv1 = nn.Conv2d(3, vision.width, vision.patch_size, vision.patch_size, bias=False)
    visual.class_embedding = nn.Parameter(torch.zeros(vision.width))
    visual.positional_embedding = nn.Parameter(torch.zeros(vision.grid**2 + 1, vision.width))
    visual.ln_pre, visual.ln_post = nn.LayerNorm(vision.width), nn.LayerNorm(vision.width)
    visual.transformer = nn.Module()
    visual.transformer.resblocks = nn.ModuleList(Block() for _ in range(vision.layers))
    visual.proj = nn.Parameter(torch.zeros(vision.width, SMALL.embed_dim))
    model = nn.Module()
    model.visual = visual
    draw_into(model)

    detector = AnomalyCLIP(draw_clip(SMALL, "float32"), 48, 1, (1, 2), context_length=4, deep_depth=1)
    setting = small(batch_size=2, method="anomalyclip")
    with torch.inference_mode():
        image, maps = TorchAnomalyCLIP(model, detector, draw_text(SMALL))(normalised(setting, 48, "cpu"))
    ours = detector.score(State(jnp.asarray(draw_text(SMALL))), draw_images(2, 48))
    np.testing.assert_allclose(ours.image, image, atol=1e-6)
    np.testing.assert_allclose(ours.map, maps, atol=5e-6)
    assert np.ptp(ours.map) > 0.01
