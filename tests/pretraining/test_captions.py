"""Tests of captions and of the tokenizer trained on them."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining.captions import GENERIC_NAMES, START, caption, draw_name, train_tokenizer
from vlmad_jax.scoring.prompts import WINCLIP


def letters(sentence: str) -> str:
    """Return a sentence without spaces, which CLIP's tokens do not keep around punctuation."""
    return "".join(sentence.lower().split())


def decoded(tokenizer, sentence: str) -> str:
    return letters(tokenizer.decode(tokenizer(sentence)["input_ids"], skip_special_tokens=True))


@pytest.mark.parametrize("name", ["metal nut", "pcb1", "transistor"])
def test_every_sentence_of_the_ensemble_survives(tokenizer, name):
    for sentence in WINCLIP.normal(name) + WINCLIP.anomalous(name):
        assert decoded(tokenizer, sentence) == letters(sentence)


@pytest.mark.parametrize("sentence", ["Zürich 42% x_y", "日本語 €", "qqqzzz\tjjj", "naïve — “quoted”", ""])
def test_words_that_were_never_seen_have_tokens(tokenizer, sentence):
    token_ids = tokenizer(sentence)["input_ids"]
    assert token_ids[0] == tokenizer.convert_tokens_to_ids(START)
    assert token_ids[-1] == tokenizer.eos_token_id == len(tokenizer) - 1
    assert all(0 <= token < len(tokenizer) for token in token_ids)
    assert decoded(tokenizer, sentence) == letters(sentence)


def test_words_of_the_captions_are_short(tokenizer):
    """A word of the captions is one token, and an unseen word is several."""
    words = ["a", "cropped", "photo", "of", "the", "damaged"]
    assert [len(tokenizer(word)["input_ids"]) - 2 for word in words] == [1] * len(words)
    assert len(tokenizer("qzxqzx")["input_ids"]) - 2 == 6


def test_a_saved_tokenizer_gives_the_same_ids(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    sentences = [*WINCLIP.normal("metal nut"), *WINCLIP.anomalous("qqq"), "Zürich 42%"]
    assert loaded(sentences)["input_ids"] == tokenizer(sentences)["input_ids"]
    assert len(loaded) == len(tokenizer)


def test_the_tokenizer_depends_on_the_captions_alone(tokenizer):
    again = train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
    assert again.get_vocab() == tokenizer.get_vocab()


def test_captions_describe_the_state_of_the_object():
    defect = next(iter(rendering.DEFECTS.values()))
    rng = np.random.default_rng(0)
    normal = {caption(rng, "nut", None) for _ in range(300)}
    anomalous = {caption(rng, "nut", defect) for _ in range(300)}
    assert normal <= set(WINCLIP.normal("nut"))
    assert not normal & anomalous
    assert any(defect.adjective in sentence for sentence in anomalous)
    assert any("damaged nut" in sentence for sentence in anomalous)


def test_drawn_names():
    """40% of names are the object's own, 30% are generic and 30% are random words."""
    rng = np.random.default_rng(1)
    names = [draw_name(rng, "metal nut") for _ in range(2000)]
    assert names.count("metal nut") / 2000 == pytest.approx(0.4, abs=0.04)
    assert sum(name in GENERIC_NAMES for name in names) / 2000 == pytest.approx(0.3, abs=0.04)
    made_up = [name for name in names if name != "metal nut" and name not in GENERIC_NAMES]
    assert {len(name) for name in made_up} == set(range(3, 9))
    assert all(name.isalpha() and name.islower() for name in made_up)
