"""Against torch: `transformers.SiglipModel` and `SiglipVisionModel` with random weights.

Run with `pip install torch==2.13.0` and `pytest -m parity`.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.backbones.siglip_files import write_gemma, write_unigram
from vlmad_jax import load_backbone
from vlmad_jax.backbones.siglip import SigLIP
from vlmad_jax.backbones.vit_backbone import ViTBackbone

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("as_people_run_it")]

SENTENCES = ["a photo of a nut", "a Damaged nut!", "nut " * 40]  # the last is longer than the context
TOWER = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 3}
TINY_TEXT = TOWER | {"num_hidden_layers": 2, "vocab_size": 64, "max_position_embeddings": 16}
TINY_VISION = TOWER | {"image_size": 32, "patch_size": 8}
# google/siglip2-base-patch16-256, whose towers have transformers' default widths.
BASE_VISION = {"image_size": 256}
SIZES = {"own": (32, 32), "larger": (56, 56), "smaller": (16, 16), "not square": (40, 24)}


def random_model(kind, config):
    """Return a model in which every parameter matters: none is 0 or 1, and attention is not uniform."""
    import torch

    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "q_proj" in name or "k_proj" in name or "in_proj" in name:
                parameter.mul_(2)
    return model


def siglip(text: dict, vision: dict):
    from transformers import SiglipConfig, SiglipModel

    return random_model(SiglipModel, SiglipConfig(text_config=text, vision_config=vision))


def images_of(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)


def torch_vision(model, images: np.ndarray):
    """The output of a vision model, with all hidden states."""
    import torch

    pixels = torch.tensor((images / 255 - 0.5) / 0.5, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        return model(pixels, interpolate_pos_encoding=True, output_hidden_states=True)


def check_close(ours, theirs, what: str) -> None:
    """Numbers agree within 2e-5 of their size; the difference is printed with `pytest -s`."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"{what}: {difference:.1e}")
    assert ours.shape == theirs.shape
    assert difference <= 2e-5, what


def check_vision(backbone, model, size: tuple[int, int], layers: tuple[int, ...]) -> None:
    """Layers with and without the last norm, and the embedding, equal those of a SiglipVisionModel."""
    import torch

    images = images_of(size)
    seen = torch_vision(model, images)
    hidden = torch.stack([seen.hidden_states[n] for n in layers], dim=1)
    for norm in (False, True):
        features = backbone.features(images, layers, norm)
        assert features["class"] is None
        with torch.no_grad():
            check_close(
                features["patches"], model.post_layernorm(hidden) if norm else hidden, f"{size} {norm}"
            )
    if seen.pooler_output is None:
        check_close(backbone.encode_image(images), seen.last_hidden_state.mean(dim=1), f"{size} mean")
    else:
        check_close(backbone.encode_image(images), seen.pooler_output, f"{size} image")


def check_text(backbone: SigLIP, model) -> None:
    """Embeddings of sentences equal those of a SiglipTextModel for the same token ids."""
    import torch

    with torch.no_grad():
        wanted = model(torch.tensor(backbone.token_ids(SENTENCES))).pooler_output
    check_close(backbone.encode_text(SENTENCES), wanted, "text")


@pytest.fixture(scope="module", params=["gelu_pytorch_tanh", "gelu"])
def both(request, tmp_path_factory):
    """A model of torch with both towers, and ours of its checkpoint."""
    options = {"hidden_act": request.param, "layer_norm_eps": 1e-5 if request.param == "gelu" else 1e-6}
    model = siglip(TINY_TEXT | options, TINY_VISION | options)
    directory = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(directory)
    write_unigram(directory)
    return model, load_backbone(directory)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_vision_tower_of_siglip(both, size):
    model, backbone = both
    check_vision(backbone, model.vision_model, size, (1, 3))


def test_text_tower_of_siglip(both):
    model, backbone = both
    check_text(backbone, model.text_model)
    scale, bias = (np.asarray(backbone.params[name]) for name in ("logit_scale", "logit_bias"))
    assert (scale, bias) == (model.logit_scale.item(), model.logit_bias.item())


@pytest.mark.parametrize("head", [True, False])
def test_vision_tower_alone(tmp_path, head):
    from transformers import SiglipVisionConfig, SiglipVisionModel

    model = random_model(SiglipVisionModel, SiglipVisionConfig(**TINY_VISION, vision_use_head=head))
    model.save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path)
    assert isinstance(backbone, ViTBackbone)
    for size in SIZES.values():
        check_vision(backbone, model, size, (2, 3))


def test_projection_to_another_width(tmp_path):
    """The text tower of siglip2-giant is narrower than its embeddings."""
    narrow = TINY_TEXT | {"hidden_size": 24, "projection_size": 48}
    model = siglip(narrow, TINY_VISION)
    model.save_pretrained(tmp_path)
    write_gemma(tmp_path)
    check_text(load_backbone(tmp_path), model.text_model)


def test_shape_of_siglip2_base(tmp_path):
    """google/siglip2-base-patch16-256, but for the vocabulary of 256,000 tokens, of which it has 64."""
    model = siglip({"vocab_size": 64}, BASE_VISION)
    model.save_pretrained(tmp_path)
    write_gemma(tmp_path)
    # The published file has no more entries than these.
    config = {
        "model_type": "siglip",
        "text_config": {"model_type": "siglip_text_model", "vocab_size": 64},
        "vision_config": {"model_type": "siglip_vision_model", "image_size": 256},
    }
    (Path(tmp_path) / "config.json").write_text(json.dumps(config))
    backbone = load_backbone(tmp_path)
    check_vision(backbone, model.vision_model, (256, 256), (6, 12))
    check_text(backbone, model.text_model)


def test_token_ids_of_siglip2_equal_those_of_transformers(tmp_path):
    from transformers import Siglip2Tokenizer

    write_gemma(tmp_path)
    model = siglip(TINY_TEXT, TINY_VISION)
    model.save_pretrained(tmp_path)
    theirs = Siglip2Tokenizer.from_pretrained(tmp_path, padding_side="right")
    wanted = theirs(SENTENCES, padding="max_length", truncation=True, max_length=16)["input_ids"]
    np.testing.assert_array_equal(load_backbone(tmp_path).token_ids(SENTENCES), wanted)
