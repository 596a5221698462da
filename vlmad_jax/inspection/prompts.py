"""The prompts of methods that compare images with text: states of a normal and of an anomalous object."""

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

MAX_PHRASES = 32  # of a kind; each is put into every template
MAX_LENGTH = 120  # characters


@runtime_checkable
class PromptedDetector(Protocol):
    """A method whose state holds the embeddings of sentences as "text", and can be given others."""

    prompts: PromptEnsemble

    def text_features(self, object_name: str) -> jax.Array:
        """Embeddings of a good and a defective object, (2, E)."""


@dataclass(frozen=True)
class Prompts:
    """Phrases in which "{}" is the object: "flawless {}", "{} with a scratch".

    Raises:
      InputError: none, too many, one without "{}", or with other braces, or too long.
    """

    good: tuple[str, ...]
    bad: tuple[str, ...]

    def __post_init__(self) -> None:
        for kind, phrases in (("good", self.good), ("bad", self.bad)):
            if not 1 <= len(phrases) <= MAX_PHRASES:
                raise InputError(f"the prompts for {kind}: {len(phrases)} phrases; give 1 to {MAX_PHRASES}")
            for phrase in phrases:
                check_phrase(phrase)

    @classmethod
    def from_json(cls, value: Any) -> Prompts:
        """{"good": [...], "bad": [...]}; raises InputError for anything else."""
        given = value if isinstance(value, Mapping) else {}
        return cls(_phrases(given.get("good")), _phrases(given.get("bad")))

    def describe(self) -> dict[str, Sequence[str]]:
        """What `from_json` takes."""
        return {"good": list(self.good), "bad": list(self.bad)}


def _phrases(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(phrase, str) for phrase in value):
        raise InputError("the prompts are two lists of phrases, good and bad; give both")
    return tuple(phrase.strip() for phrase in value if phrase.strip())


def check_phrase(phrase: str) -> None:
    """Raises InputError unless a phrase holds "{}" once, and nothing else that formatting would act on."""
    before, _, after = phrase.partition("{}")
    if "{}" not in phrase or set("{}") & set(before + after):
        raise InputError(f"{phrase!r}: write {{}} once, where the object stands, and no other braces")
    if len(phrase) > MAX_LENGTH or not phrase.isprintable():
        raise InputError(f"{phrase[:40]!r}...: give at most {MAX_LENGTH} characters that can be printed")


def prompts_of(detector: Detector) -> Prompts | None:
    """The prompts of a method; None if it has none, or learned ones."""
    if not isinstance(detector, PromptedDetector):
        return None
    return Prompts(detector.prompts.normal_states, detector.prompts.anomalous_states)


def with_prompts(detector: Detector, prompts: Prompts) -> Detector:
    """The same method with other prompts, in its own templates; raises InputError if it has none."""
    if not isinstance(detector, PromptedDetector):
        raise InputError(why_no_prompts(detector))
    ensemble = dataclasses.replace(detector.prompts, normal_states=prompts.good, anomalous_states=prompts.bad)
    return dataclasses.replace(detector, prompts=ensemble)  # type: ignore[type-var]


def reworded(fitted: FittedDetector, prompts: Prompts) -> FittedDetector:
    """A fitted detector with other prompts; its good images and thresholds stay what they are."""
    changed = with_prompts(fitted.scorer.detector, prompts)
    assert isinstance(changed, PromptedDetector)
    state = fitted.state | {"text": changed.text_features(fitted.object_name)}
    return dataclasses.replace(fitted, state=state)  # the scorer takes the prompts from the state


def why_no_prompts(detector: Detector) -> str:
    """Why a method has no prompts that could be edited."""
    without = detector.references == "always"
    reason = "knows good images alone" if without else "learned its prompts from images"
    return f"{detector.name} has no prompts to edit: it {reason}"
