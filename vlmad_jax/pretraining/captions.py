"""Captions of rendered images, and a tokenizer trained on them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vlmad_jax.backbones.library import transformers
from vlmad_jax.scoring.prompts import WINCLIP
from vlmad_jax.synthetic import Defect

# Names that fit any object. A caption with one describes the state alone, so that the model learns words for
# states that do not depend on the object's name.
GENERIC_NAMES = ("object", "part", "product", "item", "surface", "material", "component", "sample", "thing")
ANOMALOUS_STATES = (*WINCLIP.anomalous_states, "defective {}", "flawed {}")
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 1280  # large enough that every word of the captions becomes one token


def caption(rng: np.random.Generator, name: str, defect: Defect | None) -> str:
    """Draw a caption of a normal image of `name`, or of one with `defect`.

    The state is one of WinCLIP's prompts or one of the defect's own phrases.
    """
    states = WINCLIP.normal_states if defect is None else (*ANOMALOUS_STATES, *defect_states(defect))
    template = WINCLIP.templates[rng.integers(len(WINCLIP.templates))]
    return template.format(states[rng.integers(len(states))].format(name))


def defect_states(defect: Defect) -> tuple[str, ...]:
    """Return the states that describe the defect, such as "scratched {}" and "{} with a scratch"."""
    return (f"{defect.adjective} {{}}", *(f"{{}} with {phrase}" for phrase in defect.phrases))


def draw_name(rng: np.random.Generator, name: str) -> str:
    """Draw the object's name, a generic name or a random word, so that states are learned for any name."""
    draw = rng.random()
    if draw < 0.4:
        return name
    if draw < 0.7:
        return GENERIC_NAMES[rng.integers(len(GENERIC_NAMES))]
    return "".join(rng.choice(list(ALPHABET), size=rng.integers(3, 9)))


def train_tokenizer(names: Iterable[str], defects: Iterable[Defect]) -> Any:
    """Return CLIP's byte-level BPE tokenizer with merges learned from captions of these objects and defects.

    It tokenizes any text and splits unseen words into letters. Equal captions always give equal token ids,
    as a resumed run needs; the trainers of the tokenizers library do not guarantee that.
    """
    library = transformers()
    from tokenizers.pre_tokenizers import ByteLevel

    split = library.CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    words = Counter(word for sentence in corpus(names, defects) for word, _ in split(sentence.lower()))
    alphabet = sorted(ByteLevel.alphabet())
    # Every byte needs both forms, inside a word and at its end, to tokenize unknown words.
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges = learn_merges(words, VOCABULARY - len(tokens) - 2)
    tokens += [first + second for first, second in merges] + [START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return library.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def learn_merges(words: Mapping[str, int], limit: int) -> list[tuple[str, str]]:
    """Return at most `limit` merges of byte-pair encoding (Sennrich et al. 2016, algorithm 1).

    The most frequent pair is merged first. Ties go to the first pair in alphabetical order.

    Args:
      words: The count of each word.
      limit: The largest number of merges.
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
        pieces = {word: merge(parts, merges[-1]) for word, parts in pieces.items()}
    return merges


def merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Return the parts of a word with every occurrence of the pair joined, from the left."""
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def corpus(names: Iterable[str], defects: Iterable[Defect]) -> list[str]:
    """Return the captions from which the tokenizer learns its merges."""
    states = [*ANOMALOUS_STATES, *(state for defect in defects for state in defect_states(defect))]
    sentences = []
    for name in (*names, *GENERIC_NAMES):
        sentences += WINCLIP.normal(name) + [state.format(name) for state in states]
    return sentences
