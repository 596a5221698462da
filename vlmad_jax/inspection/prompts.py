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

MAX_PHRASES = 32  # phrases of a kind, each of which is put into every template
MAX_LENGTH = 120  # characters of a phrase


@runtime_checkable
class PromptedDetector(Protocol):
    """A method with a prompt ensemble, whose state holds the text features as "text"."""

    prompts: PromptEnsemble

    def text_features(self, object_name: str) -> jax.Array:
        """Return the text features of a normal and an anomalous object, (2, E)."""


@dataclass(frozen=True)
class Prompts:
    """The phrases of a normal and an anomalous object, such as "flawless {}" and "{} with a scratch".

    Attributes:
      normal: phrases of a normal object, in which "{}" stands for the object.
      anomalous: phrases of an anomalous object.

    Raises:
      InputError: there are no phrases or too many, or `check_phrase` refuses one.
    """

    normal: tuple[str, ...]
    anomalous: tuple[str, ...]

    def __post_init__(self) -> None:
        for kind, phrases in (("good", self.normal), ("bad", self.anomalous)):
            if not 1 <= len(phrases) <= MAX_PHRASES:
                raise InputError(f"{len(phrases)} prompts for {kind}; give 1 to {MAX_PHRASES}")
            for phrase in phrases:
                check_phrase(phrase)

    @classmethod
    def from_json(cls, value: Any) -> Prompts:
        """Read {"good": [...], "bad": [...]}; raise InputError for anything else."""
        given = value if isinstance(value, Mapping) else {}
        return cls(_phrases(given.get("good")), _phrases(given.get("bad")))

    def describe(self) -> dict[str, Sequence[str]]:
        """Return the value that `from_json` reads."""
        return {"good": list(self.normal), "bad": list(self.anomalous)}


def _phrases(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(phrase, str) for phrase in value):
        raise InputError("prompts are two lists of phrases, good and bad; give both")
    return tuple(phrase.strip() for phrase in value if phrase.strip())


def check_phrase(phrase: str) -> None:
    """Raise InputError unless a phrase holds "{}" once, no other brace, and few enough characters."""
    before, _, after = phrase.partition("{}")
    if "{}" not in phrase or set("{}") & set(before + after):
        raise InputError(f"{phrase!r}: write {{}} once, in the place of the object, and no other braces")
    if len(phrase) > MAX_LENGTH or not phrase.isprintable():
        raise InputError(f"{phrase[:40]!r}...: give at most {MAX_LENGTH} printable characters")


def prompts_of(detector: Detector) -> Prompts | None:
    """Return the prompts of a method, or None if it has none or has learned them."""
    if not isinstance(detector, PromptedDetector):
        return None
    return Prompts(detector.prompts.normal_states, detector.prompts.anomalous_states)


def with_prompts(detector: Detector, prompts: Prompts) -> Detector:
    """Return a method with other prompts in its own templates; raise InputError if it has no prompts."""
    if not isinstance(detector, PromptedDetector):
        raise InputError(why_no_prompts(detector))
    states = {"normal_states": prompts.normal, "anomalous_states": prompts.anomalous}
    ensemble = dataclasses.replace(detector.prompts, **states)
    return dataclasses.replace(detector, prompts=ensemble)  # type: ignore[type-var]


def with_other_prompts(fitted: FittedDetector, prompts: Prompts) -> FittedDetector:
    """Return a fitted detector with other prompts, and the same reference images and thresholds."""
    changed = with_prompts(fitted.method, prompts)
    assert isinstance(changed, PromptedDetector)
    state = fitted.state._replace(text=changed.text_features(fitted.object_name))
    return dataclasses.replace(fitted, state=state)  # the scorer reads the text features in the state


def why_no_prompts(detector: Detector) -> str:
    """Return why a method has no prompts that can be edited."""
    without = detector.references == "always"
    reason = "uses reference images alone" if without else "has learned its prompts from images"
    return f"{detector.name} has no prompts to edit: it {reason}"
