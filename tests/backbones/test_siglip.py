"""SigLIP: loading, tokens, other dtypes, and files that are refused."""

import json

import numpy as np
import pytest

from tests.backbones.siglip_files import TEXT, VISION, write_json, write_siglip, write_vision
from vlmad_jax import InputError, load_backbone, save_clip
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.backbones.preprocessing import OPENAI
from vlmad_jax.backbones.siglip import SigLIP, both_towers
from vlmad_jax.backbones.siglip_tokenizer import canonical
from vlmad_jax.backbones.vit_backbone import ViTBackbone

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_siglip(tmp_path_factory.mktemp("siglip"))


def refusal(directory) -> str:
    with pytest.raises(InputError) as error:
        load_backbone(directory)
    return str(error.value)


def test_both_towers_load(directory):
    clip = load_backbone(directory)
    assert isinstance(clip, SigLIP)
    assert (clip.family, clip.image_size, clip.patch_size, clip.widths) == ("siglip", 32, 8, (24, 24))
    assert clip.config.image_mean == clip.config.image_std == (0.5, 0.5, 0.5)  # not in the file
    assert repr(clip).startswith("SigLIP('")
    assert clip.encode_image(IMAGES).shape == (2, 24)
    assert clip.encode_text(["a nut", "a damaged nut", "a"]).shape == (3, 24)
    features = clip.features(IMAGES, (1, 2), norm=True)
    assert features["patches"].shape == (2, 2, 16, 24)
    assert features["class"] is None


def test_vision_tower_alone_loads(tmp_path):
    alone = load_backbone(write_vision(tmp_path))
    assert isinstance(alone, ViTBackbone)
    last = np.asarray(alone.features(IMAGES, (2,), norm=True)["patches"])[:, 0]
    assert np.abs(alone.encode_image(IMAGES) - last.mean(axis=1)).max() > 0.1
    headless = load_backbone(write_vision(tmp_path, head=False))
    last = np.asarray(headless.features(IMAGES, (2,), norm=True)["patches"])[:, 0]
    np.testing.assert_allclose(headless.encode_image(IMAGES), last.mean(axis=1), atol=2e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.02), ("int8", 0.04)])
def test_other_dtypes_are_close(directory, dtype, tolerance):
    exact, rounded = load_backbone(directory), load_backbone(directory, dtype)
    assert exact.identity == rounded.identity
    for one, other in (
        (exact.encode_image(IMAGES), rounded.encode_image(IMAGES)),
        (exact.encode_text(["a nut"]), rounded.encode_text(["a nut"])),
    ):
        assert 0 < np.abs(one - other).max() / np.abs(one).max() < tolerance


def test_sentences_of_siglip_lose_case_and_punctuation(directory):
    clip = load_backbone(directory)
    ids = clip.token_ids(["A photo, of the damaged Nut!", "nut " * 40])
    names = ["▁a", "▁photo", "▁of", "▁the", "▁damaged", "▁nut", "</s>"]
    assert [clip.tokenizer.convert_ids_to_tokens(token) for token in ids[0, :7]] == names
    assert set(ids[0, 6:]) == {1}  # the end token is also the pad token
    assert ids.shape == (2, 32)
    assert ids[1, -2:].tolist() == [ids[0, 5], 1]  # a truncated sentence keeps its end token
    assert clip.truncated(["a nut", "nut " * 32]) == ["nut " * 32]
    assert canonical(" The  metal-nut. ") == "the metalnut"


def test_sentences_of_siglip2_are_in_lower_case(tmp_path):
    clip = load_backbone(write_siglip(tmp_path, "gemma"))
    ids = clip.token_ids(["A Nut", "a nut"])
    np.testing.assert_array_equal(ids[0], ids[1])
    assert [clip.tokenizer.convert_ids_to_tokens(token) for token in ids[0, :4]] == [
        *("a", "▁nut", "<eos>", "<pad>")
    ]
    assert set(ids[0, 3:]) == {0}


def test_room_for_learned_tokens_precedes_a_sentence(directory):
    clip = load_backbone(directory)
    ids = clip.token_ids(["a nut"], room=5)
    assert ids[0, :5].tolist() == [1] * 5
    np.testing.assert_array_equal(ids[0, 5:], clip.token_ids(["a nut"])[0, :-5])
    assert clip.truncated(["nut " * 30], room=5) == ["nut " * 30]


def test_variable_resolution_is_refused(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "siglip2"})
    config = tmp_path / "config.json"
    assert refusal(tmp_path) == (
        f"{config}: model_type 'siglip2' is SigLIP 2 of variable resolution (NaFlex), which is not "
        "supported; give one of fixed resolution, for example google/siglip2-base-patch16-256"
    )


def test_other_tensors_are_refused(tmp_path):
    write_siglip(tmp_path)
    tensors = read_tensors(tmp_path)
    probe = tensors.pop("vision_model.head.probe")
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert "(missing: vision_model.head.probe); download it again" in refusal(tmp_path)
    tensors |= {"vision_model.head.probe": probe, "vision_model.embeddings.class_embedding": probe[0, 0]}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert "(unexpected: vision_model.embeddings.class_embedding); give weights and" in refusal(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["image_size"] = 64
    write_json(tmp_path / "config.json", config)
    assert "position_embedding.weight [16, 24] instead of [64, 24]" in refusal(tmp_path)


def test_configurations_without_comparable_embeddings_are_refused():
    for vision, text, message in (
        ({}, {"projection_size": 48}, "the embeddings of texts have 48 numbers and those of images 24"),
        ({"vision_use_head": False}, {}, "vision_use_head is false"),
        ({"hidden_act": "gelu"}, {}, "vision and text differ in hidden_act"),
        ({"hidden_act": "swish"}, {"hidden_act": "swish"}, "hidden_act 'swish' is not one of gelu_pytorch"),
        ({"num_attention_heads": 5}, {}, "vision width 24 does not divide into 5 heads"),
    ):
        raw = {"vision_config": VISION | vision, "text_config": TEXT | text}
        with pytest.raises(InputError, match=message):
            both_towers(raw, OPENAI)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    write_siglip(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "spiece.model")
    assert "has no tokenizer.json, only a spiece.model; copy the one of the model" in refusal(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "its tokenizer does not load" in refusal(tmp_path)


def test_a_siglip_is_not_saved_as_a_clip(directory, tmp_path):
    with pytest.raises(InputError, match="a siglip is not saved; copy the checkpoint"):
        save_clip(load_backbone(directory), tmp_path)
