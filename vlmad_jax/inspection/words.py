"""The words of methods that compare images with sentences: phrases of a good and of a bad object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.methods import Detector
from vlmad_jax.scoring.prompts import PromptEnsemble

MOST_PHRASES = 32  # of a kind; each is put into every template
LONGEST = 120  # characters


@runtime_checkable
class Worded(Protocol):
    """A method whose state holds the embeddings of sentences as "text", and can be given others."""

    prompts: PromptEnsemble

    def text_features(self, object_name: str) -> jax.Array:
        """Embeddings of a good and a defective object, (2, E)."""


@dataclass(frozen=True)
class Words:
    """Phrases in which "{}" is the object: "flawless {}", "{} with a scratch".

    Raises:
      InputError: none, too many, one without "{}", or with other braces, or too long.
    """

    good: tuple[str, ...]
    bad: tuple[str, ...]

    def __post_init__(self) -> None:
        for kind, phrases in (("good", self.good), ("bad", self.bad)):
            if not 1 <= len(phrases) <= MOST_PHRASES:
                raise InputError(f"the words for {kind}: {len(phrases)} phrases; give 1 to {MOST_PHRASES}")
            for phrase in phrases:
                check_phrase(phrase)

    @classmethod
    def from_json(cls, value: Any) -> Words:
        """{"good": [...], "bad": [...]}; raises InputError for anything else."""
        given = value if isinstance(value, Mapping) else {}
        return cls(_phrases(given.get("good")), _phrases(given.get("bad")))

    def describe(self) -> dict[str, Sequence[str]]:
        """What `from_json` takes."""
        return {"good": list(self.good), "bad": list(self.bad)}


def _phrases(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(phrase, str) for phrase in value):
        raise InputError("the words are two lists of phrases, good and bad; give both")
    return tuple(phrase.strip() for phrase in value if phrase.strip())


def check_phrase(phrase: str) -> None:
    """Raises InputError unless a phrase holds "{}" once, and nothing else that formatting would act on."""
    before, _, after = phrase.partition("{}")
    if "{}" not in phrase or set("{}") & set(before + after):
        raise InputError(f"{phrase!r}: write {{}} once, where the object stands, and no other braces")
    if len(phrase) > LONGEST or not phrase.isprintable():
        raise InputError(f"{phrase[:40]!r}...: give at most {LONGEST} characters that can be printed")


def words_of(detector: Detector) -> Words | None:
    """The words of a method; None if it has none, or learned ones."""
    if not isinstance(detector, Worded):
        return None
    return Words(detector.prompts.normal_states, detector.prompts.anomalous_states)


def with_words(detector: Detector, words: Words) -> Detector:
    """The same method with other words, in its own templates; raises InputError if it has none."""
    if not isinstance(detector, Worded):
        raise InputError(why_none(detector))
    prompts = dataclasses.replace(detector.prompts, normal_states=words.good, anomalous_states=words.bad)
    return dataclasses.replace(detector, prompts=prompts)  # type: ignore[type-var]


def reworded(fitted: FittedDetector, words: Words) -> FittedDetector:
    """A fitted detector with other words; its good images and thresholds stay what they are."""
    changed = with_words(fitted.scorer.detector, words)
    assert isinstance(changed, Worded)
    state = fitted.state._replace(text=changed.text_features(fitted.object_name))
    return dataclasses.replace(fitted, state=state)  # the scorer takes the words from the state


def why_none(detector: Detector) -> str:
    """Why a method has no words that could be edited."""
    without = detector.references == "always"
    reason = "knows good images alone" if without else "learned its words from images"
    return f"{detector.name} has no words to edit: it {reason}"
