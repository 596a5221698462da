"""The cache of text embeddings, which finds them only if everything they depend on is the same."""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.golden import case, golden_clip
from vlmad_jax.backbones.clip import CLIP, load_clip
from vlmad_jax.backbones.text_cache import parameters_digest
from vlmad_jax.runtime import cache

GOLDEN = case("winclip").directory
SENTENCES = ["a photo of a bottle.", "a photo of a damaged bottle."]


@pytest.fixture(autouse=True)
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VLMAD_JAX_KEEP", "1")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The sentences of each call that were not in the cache; embeddings are the call's number."""
    calls: list[list[str]] = []

    def noting(self: CLIP, sentences: list[str]) -> np.ndarray:
        calls.append(list(sentences))
        return np.full((len(sentences), self.config.embed_dim), len(calls), np.float32)

    monkeypatch.setattr(CLIP, "_embed_sentences", noting)
    return calls


def test_cached_embeddings_are_equal_to_the_bit():
    first = golden_clip("winclip").encode_text(SENTENCES)
    again = load_clip(GOLDEN)
    np.testing.assert_array_equal(again.encode_text(SENTENCES), first, strict=True)
    assert "loaded" not in vars(again.tokenizer)  # it was not even tokenized


def test_sentences_are_encoded_once(encoded):
    for _ in range(2):
        assert load_clip(GOLDEN).encode_text(SENTENCES)[0, 0] == 1
    clip = load_clip(GOLDEN)
    assert clip.encode_text(SENTENCES[::-1])[0, 0] == 2
    assert clip.encode_text([" ".join(SENTENCES)])[0, 0] == 3
    assert encoded == [SENTENCES, SENTENCES[::-1], [" ".join(SENTENCES)]]


def test_another_model_finds_nothing(encoded, tmp_path, monkeypatch):
    clip = load_clip(GOLDEN)
    clip.encode_text(SENTENCES)
    text = jax.tree.map(lambda x: x, clip.params["text"])
    text["ln_final"]["bias"] = text["ln_final"]["bias"].at[0].add(1e-6)
    other = [
        dataclasses.replace(clip, params=clip.params | {"text": text}),
        load_clip(GOLDEN, "bfloat16"),
        dataclasses.replace(clip, config=dataclasses.replace(clip.config, layer_norm_eps=1e-6)),
    ]
    shutil.copytree(GOLDEN, tmp_path / "copy")
    load_clip(tmp_path / "copy").encode_text(SENTENCES)
    assert len(encoded) == 1  # the same files elsewhere
    tokenizer = tmp_path / "copy/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    for model in [*other, load_clip(tmp_path / "copy")]:
        model.encode_text(SENTENCES)
    assert len(encoded) == 5
    monkeypatch.setattr(cache, "CACHE_VERSION", 0)
    clip.encode_text(SENTENCES)
    assert len(encoded) == 6


def test_it_can_be_turned_off(encoded, tmp_path, monkeypatch):
    monkeypatch.setenv("VLMAD_JAX_KEEP", "0")
    for _ in range(2):
        load_clip(GOLDEN).encode_text(SENTENCES)
    assert len(encoded) == 2
    assert not (tmp_path / "cache").exists()


def test_a_digest_changes_with_names_shapes_and_values():
    a, b = np.zeros((2, 3), np.float32), np.ones(4, np.float32)
    trees = [{"a": a, "b": b}, {"a": b, "b": a}, {"a": a.T, "b": b}, {"a": a, "c": b}, {"a": -a, "b": b}]
    trees += [{"a": a.view(np.int32), "b": b}, {"a": a}]
    assert len({parameters_digest(tree) for tree in trees}) == len(trees)
    assert parameters_digest(trees[0]) == parameters_digest({"b": b.copy(), "a": a.copy()})
