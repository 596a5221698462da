"""The end token of tokenizers with another size than the model or with absent entries."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden import case, difference, golden_clip, open_clip_directory
from vlmad_jax import InputError, load_clip
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors

SENTENCES = ["a photo of a damaged metal nut.", "nut"]
FILES = {"transformers": "model.safetensors", "open_clip": "open_clip_model.safetensors"}
TABLES = {
    "transformers": "text_model.embeddings.token_embedding.weight",
    "open_clip": "token_embedding.weight",
}


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """The published model's embeddings of `SENTENCES`."""
    return np.asarray(golden_clip("winclip").encode_text(SENTENCES))


def checkpoint(folder: Path, layout: str, vocabulary: int = 303, **text: Any) -> Path:
    """Return the golden checkpoint with a padded vocabulary and other entries of its text configuration.

    An entry that is "absent" is left out.
    """
    if layout == "open_clip":
        open_clip_directory(folder)
    else:
        shutil.copytree(case("winclip").directory, folder, dirs_exist_ok=True)
        (folder / "open_clip_config.json").unlink()
    path = folder / ("config.json" if layout == "transformers" else "open_clip_config.json")
    raw = json.loads(path.read_text())
    tower = raw["text_config"] if layout == "transformers" else raw["model_cfg"]["text_cfg"]
    tower |= {"vocab_size": vocabulary} | text
    for name in [name for name, value in text.items() if value == "absent"]:
        del tower[name]
    path.write_text(json.dumps(raw))
    tensors = read_tensors(folder, layout)
    noise = np.random.default_rng(0).normal(size=(vocabulary - 303, 64)).astype(np.float16)
    tensors[TABLES[layout]] = np.concatenate([tensors[TABLES[layout]], noise])
    write_safetensors(folder / FILES[layout], tensors)
    return folder


@pytest.mark.parametrize(
    ("layout", "vocabulary", "text"),
    [
        ("transformers", 303, {"eos_token_id": 2}),
        ("transformers", 320, {"eos_token_id": 2}),
        ("transformers", 320, {"eos_token_id": 302}),
        ("transformers", 306, {"eos_token_id": "absent"}),
        ("open_clip", 306, {}),
        ("open_clip", 320, {"pool_type": "eos", "eos_id": 302}),
    ],
)
def test_the_end_token_is_that_of_the_tokenizer(tmp_path, expected, layout, vocabulary, text):
    clip = load_clip(checkpoint(tmp_path, layout, vocabulary, **text))
    assert (clip.config.text.eos_token_id, clip.config.text.vocab_size) == (302, vocabulary)
    assert difference(clip.encode_text(SENTENCES), expected) <= 1e-5


def rewrite(path: Path, **entries: Any) -> None:
    """Change entries of a JSON file, and remove those that are "absent"."""
    raw = (json.loads(path.read_text()) if path.exists() else {}) | entries
    path.write_text(json.dumps({name: value for name, value in raw.items() if value != "absent"}))


ADDED = {"content": "<hole>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def add_token(folder: Path) -> None:
    """Add a token after the end token, as `add_tokens` does."""
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["added_tokens"].append({"id": 303, "special": False, **ADDED})
    (folder / "tokenizer.json").write_text(json.dumps(raw))


def test_added_tokens(tmp_path, expected):
    """The end token is no longer the highest id, which eos_token_id 2 means."""
    clip = load_clip(checkpoint(tmp_path / "grown", "transformers", 304, eos_token_id=2))
    add_token(tmp_path / "grown")
    clip = load_clip(tmp_path / "grown")
    assert difference(clip.encode_text(SENTENCES), expected) <= 1e-5
    ids = clip.token_ids(["a nut with a <hole> in it"])[0]
    assert 303 in ids
    assert clip.config.text.eos_token_id == 302


def test_added_tokens_that_the_model_lacks(tmp_path, expected):
    """They raise an error only if a sentence has one."""
    folder = checkpoint(tmp_path / "small", "transformers", eos_token_id=2)
    add_token(folder)
    clip = load_clip(folder)
    assert difference(clip.encode_text(SENTENCES), expected) <= 1e-5
    assert refusal(clip.encode_text, ["a nut", "a nut with a <hole>"]) == (
        f"{folder}: 'a nut with a <hole>' has the token '<hole>' of id 303, but the model has embeddings of "
        "303 tokens; remove it, or copy the model's own tokenizer"
    )


@pytest.mark.parametrize(
    ("settings", "special"),
    [
        ({"eos_token": None}, {}),
        ({"eos_token": None, "bos_token": None, "unk_token": None, "pad_token": None}, {}),
        ({"eos_token": "absent", "bos_token": "absent"}, {}),
        ({"eos_token": {"content": "<|endoftext|>"}, "bos_token": {"content": "<|startoftext|>"}}, {}),
        ({"eos_token": ADDED | {"content": "<|endoftext|>", "__type": "AddedToken"}}, {}),
        ({"eos_token": {}}, {}),
        ({"eos_token": None}, {"eos_token": "<|endoftext|>"}),
        ({}, {"eos_token": None}),
        ({}, {"eos_token": ADDED | {"content": "<|endoftext|>"}}),
    ],
    ids=lambda entries: json.dumps(entries)[:30],
)
def test_tokens_that_the_files_do_not_name(tmp_path, settings, special):
    folder = checkpoint(tmp_path, "transformers", eos_token_id=2)
    rewrite(folder / "tokenizer_config.json", **settings)
    if special:
        rewrite(folder / "special_tokens_map.json", **special)
    clip = load_clip(folder)
    np.testing.assert_array_equal(clip.token_ids(SENTENCES), golden_clip("winclip").token_ids(SENTENCES))


@pytest.mark.parametrize(
    ("text", "vocabulary"),
    [({"eos_token_id": 301}, 303), ({"eos_token_id": 2}, 700), ({"eos_token_id": 318}, 319)],
)
def test_the_tokenizer_of_another_model(tmp_path, text, vocabulary):
    folder = checkpoint(tmp_path, "transformers", vocabulary, **text)
    message = refusal(load_clip, folder)
    assert message.startswith(
        f"{folder}: its tokenizer has 303 tokens and ends with 302, the model {vocabulary}"
    )
    assert message.endswith("; copy the model's own")


def test_a_tokenizer_that_ends_beyond_the_model(tmp_path):
    folder = checkpoint(tmp_path, "transformers", eos_token_id=2)
    shutil.copy(case("april_gan").directory / "tokenizer.json", folder)  # of 319 tokens
    assert "its tokenizer has 319 tokens and ends with 318, the model 303" in refusal(load_clip, folder)
