"""Against torch: `transformers.CLIPModel` with random weights at published shapes, and files of `torch.save`.

Run with `pip install torch==2.13.0` and `pytest -m parity`; needs 10 GB of memory and 4 GB of disk.
Torch is imported inside fixtures and tests, so that collecting this file does not need it.
"""

import gc
import os
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest

from vlmad_jax import InputError, load_clip, save_clip
from vlmad_jax.backbones.checkpoints.hub import BUNDLED, BUNDLED_DIRECTORY
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.backbones.checkpoints.torch_file import read_torch_file
from vlmad_jax.backbones.config import OPENAI_MEAN, OPENAI_STD
from vlmad_jax.backbones.positions import resize_positions

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("as_people_run_it")]

TOKENIZER = Path(__file__).parents[1] / "golden" / "winclip"
SENTENCES = [
    "a photo of a bottle.",
    "a cropped photo of a damaged transistor with a scratch.",
    "x",
    "hole " * 40,  # longer than the context
]
VOCABULARY = {"vocab_size": 49408, "bos_token_id": 301, "eos_token_id": 302, "pad_token_id": 302}
# name -> (text, vision, projection), as published in the config.json of openai/clip-vit-*.
SHAPES = {
    "tiny": (
        {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
        {"hidden_size": 48, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 3}
        | {"image_size": 32, "patch_size": 8},
        16,
    ),
    "vit-b-32": (
        {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8},
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
        | {"image_size": 224, "patch_size": 32},
        512,
    ),
    "vit-l-14-336": (
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        | {"image_size": 336, "patch_size": 14},
        768,
    ),
}


class Reference(NamedTuple):
    """A checkpoint that transformers saved, and its embeddings of images and sentences."""

    directory: Path
    images: np.ndarray  # uint8 (B, S, S, 3)
    image_embeddings: np.ndarray  # (B, E)
    text_embeddings: np.ndarray  # (N, E)


def torch_embeddings(model, images: np.ndarray, tokenizer: Path = TOKENIZER) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings before normalising, of images (B, E) and of SENTENCES (N, E)."""
    import torch
    from transformers import CLIPTokenizerFast

    pixels = (images / 255 - OPENAI_MEAN) / OPENAI_STD
    tokenize = CLIPTokenizerFast.from_pretrained(tokenizer)
    token_ids = tokenize(SENTENCES, padding="max_length", truncation=True, max_length=77)["input_ids"]
    with torch.no_grad():
        seen = model.vision_model(torch.tensor(pixels.transpose(0, 3, 1, 2), dtype=torch.float32))
        texts = model.text_model(torch.tensor(token_ids))
        image_embeddings = model.visual_projection(seen.pooler_output).numpy()
        return image_embeddings, model.text_projection(texts.pooler_output).numpy()


def random_model(text: dict, vision: dict, projection: int, activation: str):
    """Return a CLIPModel in which every parameter matters: none is 0 or 1, and attention is not uniform."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=text | VOCABULARY | {"hidden_act": activation, "projection_dim": projection},
        vision_config=vision | {"hidden_act": activation, "projection_dim": projection},
        projection_dim=projection,
    )
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "q_proj" in name or "k_proj" in name:
                parameter.mul_(4)
    return model


@pytest.fixture(scope="module", params=SHAPES)
def reference(request, tmp_path_factory) -> Iterator[Reference]:
    text, vision, projection = SHAPES[request.param]
    activation = "gelu" if request.param == "tiny" else "quick_gelu"
    directory = tmp_path_factory.mktemp(request.param)
    model = random_model(text, vision, projection, activation)
    side = vision["image_size"]
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    embeddings = torch_embeddings(model, images)
    model.save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, directory)
    del model
    gc.collect()
    yield Reference(directory, images, *embeddings)
    shutil.rmtree(directory)


def relative(actual, expected: np.ndarray) -> float:
    """max |difference| / max |reference|."""
    return float(np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max())


def test_embeddings(reference):
    clip = load_clip(reference.directory, dtype="float32")
    image_error = relative(clip.encode_image(reference.images), reference.image_embeddings)
    text_error = relative(clip.encode_text(SENTENCES), reference.text_embeddings)
    print(f"relative difference: images {image_error:.1e}, sentences {text_error:.1e}")
    assert image_error < 1e-4
    assert text_error < 1e-4
    # The inputs tell apart: an encoder that ignores them would not pass.
    for embeddings in (reference.image_embeddings, reference.text_embeddings):
        assert relative(embeddings[1], embeddings[0]) > 0.01


def test_transformers_loads_what_we_save(reference, tmp_path):
    from transformers import CLIPModel

    save_clip(load_clip(reference.directory, dtype="float32"), tmp_path)
    gc.collect()
    model, report = CLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    image_embeddings, text_embeddings = torch_embeddings(model.eval(), reference.images)
    # The same numbers through the same code; threads may sum in another order.
    assert relative(image_embeddings, reference.image_embeddings) < 1e-6
    assert relative(text_embeddings, reference.text_embeddings) < 1e-6
    shutil.rmtree(tmp_path)


def test_transformers_loads_the_bundled_weights():
    from transformers import CLIPModel

    clip = load_clip(BUNDLED)
    side = clip.config.vision.image_size
    images = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    model, report = CLIPModel.from_pretrained(BUNDLED_DIRECTORY, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    image_embeddings, text_embeddings = torch_embeddings(model.float().eval(), images, BUNDLED_DIRECTORY)
    image_error = relative(clip.encode_image(images), image_embeddings)
    text_error = relative(clip.encode_text(SENTENCES), text_embeddings)
    print(f"relative difference: images {image_error:.1e}, sentences {text_error:.1e}")
    assert image_error < 1e-5
    assert text_error < 1e-5


def test_a_bin_checkpoint_loads_as_its_safetensors_do(tmp_path):
    import torch

    text, vision, projection = SHAPES["tiny"]
    model = random_model(text, vision, projection, "gelu")
    model.save_pretrained(tmp_path)
    expected = read_tensors(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    read = read_tensors(tmp_path)
    for name in expected:
        np.testing.assert_array_equal(read[name], expected[name], strict=True)
    assert set(read) - set(expected) <= {
        f"{tower}_model.embeddings.position_ids" for tower in ("text", "vision")
    }


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("side", "grid"), [(7, (15, 15)), (24, (37, 37)), (24, (15, 15)), (16, (20, 11))])
def test_position_embeddings_resized(method, side, grid):
    import torch

    positions = np.random.default_rng(1).normal(size=(1 + side**2, 32)).astype(np.float32)
    patches = torch.tensor(positions[1:]).reshape(1, side, side, 32).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        patches, size=grid, mode=method, antialias=method == "bicubic", align_corners=False
    )
    expected = resized.permute(0, 2, 3, 1).reshape(-1, 32).numpy()
    actual = np.asarray(resize_positions(positions, grid, method))
    np.testing.assert_array_equal(actual[0], positions[0])
    assert relative(actual[1:], expected) < 1e-6


def test_tensors_of_torch_save(tmp_path):
    import torch

    grid = torch.arange(24).reshape(4, 6)
    shared = torch.randn(10)
    saved = {
        "half": grid.half() / 7,
        "brain": grid.bfloat16() / 7,
        "double": torch.randn(3, dtype=torch.float64),
        "bytes": grid.byte(),
        "bool": grid % 3 == 0,
        "int": grid.int(),
        "long": grid,
        "scalar": torch.tensor(4.6052),
        "transposed": grid.float().t(),
        "every second": grid[1::2, ::3],
        "expanded": torch.randn(3, 1).expand(3, 5),
        "empty": torch.empty(0, 4),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "head": shared[:4],
        "tail": shared[2:],
    }
    torch.save(OrderedDict(saved), tmp_path / "a.pth")
    read = read_torch_file(tmp_path / "a.pth")
    assert list(read) == list(saved)
    assert read["brain"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(read.pop("brain").astype(np.float32), saved.pop("brain").float().numpy())
    for name, tensor in saved.items():
        np.testing.assert_array_equal(read[name], tensor.detach().numpy(), strict=True)
    assert np.shares_memory(read["head"], read["tail"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_training_checkpoint_of_torch_save(tmp_path, protocol):
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    checkpoint = {"epoch": 3, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    checkpoint |= {
        "shape": torch.Size([2, 3]),
        "seen": {1, 2},
        "best": float("inf"),
        "names": ("a", None, True),
    }
    torch.save(checkpoint, tmp_path / "a.pt", pickle_protocol=protocol)
    read = read_torch_file(tmp_path / "a.pt")
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(read["state_dict"][name], tensor.numpy(), strict=True)
    for key, state in optimizer.state_dict()["state"].items():
        np.testing.assert_array_equal(read["optimizer"]["state"][key]["exp_avg"], state["exp_avg"].numpy())
    assert read["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
    for name in ("epoch", "shape", "seen", "best", "names"):
        assert read[name] == checkpoint[name]


class Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        ({"weight": Hostile()}, f"{os.system.__module__}.system"),
        ({"weight": np.zeros(3)}, "numpy._core.multiarray._reconstruct"),
    ],
)
def test_other_objects_of_torch_save_are_refused(tmp_path, monkeypatch, content, refused):
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save(content, "a.pt")
    with pytest.raises(InputError, match=rf"^a\.pt: refuses {refused}: save tensors"):
        read_torch_file("a.pt")
    assert os.listdir() == ["a.pt"]


def test_format_before_torch_1_6_is_read(tmp_path):
    import torch

    whole = torch.arange(6.0)
    content = {"part": whole[1:5:2], "whole": whole, "count": torch.tensor(3), "epoch": 7}
    content["half"] = torch.ones(2, 2, dtype=torch.bfloat16)
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    read = read_torch_file(tmp_path / "old.pt")
    assert read.pop("epoch") == content.pop("epoch")
    assert read["half"].dtype == "bfloat16"
    for name, tensor in content.items():
        np.testing.assert_array_equal(read[name].astype(np.float32), tensor.float().numpy())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # old checkpoints are in that format
def test_other_formats_of_torch_are_refused(tmp_path):
    import torch

    torch.jit.save(torch.jit.trace(torch.nn.Linear(3, 4), torch.zeros(1, 3)), tmp_path / "script.pt")
    with pytest.raises(InputError, match=r"script\.pt: is a TorchScript archive: torch\.jit\.load it"):
        read_torch_file(tmp_path / "script.pt")
