"""What the studies of a report depend on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from vlmad_jax.errors import InputError
from vlmad_jax.scoring.prompts import PromptEnsemble

LARGEST_WINDOW = 7  # figure 5


@dataclass(frozen=True)
class Domain:
    """A data set of the study across domains: its name in `data.DATASETS`, and where it is."""

    name: str
    data_dir: str | None = None


@dataclass(frozen=True)
class PaperConfig:
    """What the figures of a report depend on.

    Attributes:
      weights: a checkpoint's directory or hub id.
      dataset: a name of `data.DATASETS`.
      data_dir: where it is, for those that need it.
      categories: those to run; all if empty.
      params: AnomalyCLIP's learned prompts; None is what is bundled with the weights.
      batch_size: images scored together.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      shots: numbers of good samples beside 0.
      seeds: of the draws of good samples.
      words: the user's own sentences; None for none.
      domains: data sets to learn from and to test on, each other.
      epochs: of learning on each of them.
      contrasts: bounds of low, medium and high contrast; None takes terciles.
    """

    weights: str
    dataset: str
    data_dir: str | None = None
    categories: tuple[str, ...] = ()
    params: str | None = None
    batch_size: int = 16
    dtype: str = "float32"
    shots: tuple[int, ...] = (1, 2, 4)
    seeds: tuple[int, ...] = (0, 1, 2)
    words: PromptEnsemble | None = None
    domains: tuple[Domain, ...] = field(default=())
    epochs: int = 15
    contrasts: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name, values in (("shots", self.shots), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}={','.join(map(str, values))} has to name one or more, each once")
        if min(self.shots) < 1:
            raise InputError("--shots: 0 is always there; give numbers of 1 or more")
        if self.contrasts is not None and not self.contrasts[0] < self.contrasts[1]:
            low, high = self.contrasts
            raise InputError(f"--contrasts={low},{high} are not in order; give the lower bound first")


def read_words(path: str) -> PromptEnsemble:
    """The user's own sentences: JSON {"good": [...], "defective": [...], "templates": [...]}.

    Sentences hold "{}" where the object's name goes, templates where the sentence goes; "templates" may be
    left out.

    Raises:
      InputError: no such file, or it holds something else.
    """
    expected = (
        '{"good": ["flawless {}"], "defective": ["{} with a crack"], "templates": ["a photo of a {}."]}'
    )
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--words={path}: cannot be read ({error.strerror}); give a JSON file") from error
    except ValueError as error:
        raise InputError(f"--words={path}: is not JSON ({error}); expected {expected}") from error
    given = {"templates": ["{}"], **read} if isinstance(read, dict) else {}
    lists = [given.get(name) for name in ("good", "defective", "templates")]
    if given.keys() != {"good", "defective", "templates"} or not all(map(_is_list_of_texts, lists)):
        raise InputError(f"--words={path}: expected {expected}")
    good, defective, templates = (tuple(x or ()) for x in lists)
    for text in (*good, *defective, *templates):
        if text.count("{}") != 1 or text.replace("{}", "").count("{") + text.replace("{}", "").count("}"):
            raise InputError(f"--words={path}: {text!r} has to hold {{}} once, where the name goes")
    return PromptEnsemble(good, defective, templates)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
