"""Captions of rendered images, and a tokenizer for them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vlmad_jax.backbones.library import transformers
from vlmad_jax.scoring.prompts import WINCLIP
from vlmad_jax.synthetic import Defect

# Names that fit any object: a caption that uses one says nothing but the state, so that the words for states
# come to mean the same whatever the object is called.
GENERIC_NAMES = ("object", "part", "product", "item", "surface", "material", "component", "sample", "thing")
ANOMALOUS_STATES = (*WINCLIP.anomalous_states, "defective {}", "flawed {}")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 1280  # more than the captions have words for: each becomes a token


def caption(rng: np.random.Generator, name: str, defect: Defect | None) -> str:
    """A sentence for an image of `name`, good or with `defect`: WinCLIP's words, or the defect's own."""
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

    Any text can be tokenized; words it has not met fall into letters. Equal captions give equal ids, which
    trainers of the tokenizers library do not: a run that goes on would find its words under other numbers.
    """
    library = transformers()
    from tokenizers.pre_tokenizers import ByteLevel

    split = library.CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    words = Counter(word for sentence in corpus(names, defects) for word, _ in split(sentence.lower()))
    alphabet = sorted(ByteLevel.alphabet())
    # Every byte has both forms, inside a word and at its end, or unknown words would have no tokens.
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges = learn_merges(words, VOCABULARY - len(tokens) - 2)
    tokens += [first + second for first, second in merges] + [START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return library.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def learn_merges(words: Mapping[str, int], limit: int) -> list[tuple[str, str]]:
    """At most `limit` merges of byte-pair encoding (Sennrich et al. 2016, algorithm 1) for words with counts.

    The most frequent pair is merged first, of equals the first in the alphabet.
    """
    pieces = {word: [*word[:-1], f"{word[-1]}</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < limit:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(pieces[word]):
                pairs[pair] += count
        if not pairs:
            break
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        pieces = {word: merged(parts, merges[-1]) for word, parts in pieces.items()}
    return merges


def merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts of a word with every occurrence of the pair made one, from the left."""
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def corpus(names: Iterable[str], defects: Iterable[Defect]) -> list[str]:
    """The sentences that the tokenizer learns its merges from."""
    states = [*ANOMALOUS_STATES, *(state for defect in defects for state in states_of(defect))]
    sentences = []
    for name in (*names, *GENERIC_NAMES):
        sentences += WINCLIP.normal(name) + [state.format(name) for state in states]
    return sentences
