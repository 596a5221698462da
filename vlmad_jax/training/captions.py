"""Captions of rendered pictures, and a tokenizer for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from vlmad_jax.clip.library import transformers
from vlmad_jax.data.rendering import Defect
from vlmad_jax.prompts import WINCLIP

# Names that fit any object: a caption that uses one says nothing but the state, so that the words for states
# come to mean the same whatever the object is called.
GENERIC_NAMES = ("object", "part", "product", "item", "surface", "material", "component", "sample", "thing")
ANOMALOUS_STATES = (*WINCLIP.anomalous_states, "defective {}", "flawed {}")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 1024


def caption(rng: np.random.Generator, name: str, defect: Defect | None) -> str:
    """A sentence for a picture of `name`, good or with `defect`: WinCLIP's words, or the defect's own."""
    states = WINCLIP.normal_states if defect is None else (*ANOMALOUS_STATES, *states_of(defect))
    template = WINCLIP.templates[rng.integers(len(WINCLIP.templates))]
    return template.format(states[rng.integers(len(states))].format(name))


def states_of(defect: Defect) -> tuple[str, ...]:
    """What a caption says of an object with that defect: "scratched {}", "{} with a scratch"."""
    return (f"{defect.adjective} {{}}", *(f"{{}} with {phrase}" for phrase in defect.phrases))


def stand_in_name(rng: np.random.Generator, name: str) -> str:
    """The object's name, a generic one, or a made-up word: names a trained model has never met."""
    draw = rng.random()
    if draw < 0.4:
        return name
    if draw < 0.7:
        return GENERIC_NAMES[rng.integers(len(GENERIC_NAMES))]
    return "".join(rng.choice(list(ALPHABET), size=rng.integers(3, 9)))


def train_tokenizer(names: Iterable[str], defects: Iterable[Defect]) -> Any:
    """CLIP's byte-level BPE tokenizer, its merges learned from captions of these objects and defects.

    Any text can be tokenized; words it has not met fall into letters.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer_class = transformers().CLIPTokenizer
    template = tokenizer_class().backend_tokenizer
    learner = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    learner.pre_tokenizer = template.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        continuing_subword_prefix="",
        show_progress=False,
    )
    learner.train_from_iterator(corpus(names, defects), trainer)
    model = json.loads(learner.to_str())["model"]
    vocabulary = dict(model["vocab"])
    # Every byte needs both forms, inside a word and at its end, or unknown words would have no tokens.
    for letter in (*alphabet, *(f"{letter}</w>" for letter in alphabet)):
        vocabulary.setdefault(letter, len(vocabulary))
    merges: Any = [tuple(pair) for pair in model["merges"]]
    for special in (START, END):
        vocabulary[special] = len(vocabulary)
    return tokenizer_class(vocab=vocabulary, merges=merges, model_max_length=77)


def corpus(names: Iterable[str], defects: Iterable[Defect]) -> list[str]:
    """The sentences that the tokenizer learns its merges from."""
    states = [*ANOMALOUS_STATES, *(state for defect in defects for state in states_of(defect))]
    sentences = []
    for name in (*names, *GENERIC_NAMES):
        sentences += WINCLIP.normal(name) + [state.format(name) for state in states]
    return sentences
