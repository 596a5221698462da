"""The configuration of a report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from vlmad_jax.errors import InputError
from vlmad_jax.methods import MethodOptions, method
from vlmad_jax.methods.options import YOUNGER
from vlmad_jax.scoring.prompts import PromptEnsemble

LARGEST_WINDOW = 7  # figure 5


@dataclass(frozen=True)
class Domain:
    """A data set of the study across domains: its name in `data.DATASETS`, and its directory."""

    name: str
    data_dir: str | None = None


@dataclass(frozen=True)
class PaperConfig:
    """The values that the numbers of a report depend on.

    Attributes:
      weights: The directory or hub id of a checkpoint.
      dataset: A name of `data.DATASETS`.
      data_dir: The directory of the data set, if it needs one.
      categories: The categories to run; all if empty.
      options: The options of the methods, each of which takes those that it has.
      batch_size: The number of images scored together.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      shots: Numbers of reference images of each category; 0 is always run too.
      seeds: The seeds of the draws of reference images.
      prompts: The user's own prompts, if any.
      domains: Data sets, each of which is trained on and tested with what was learned on the others.
      epochs: The number of epochs of training on each of them.
      contrasts: The upper bounds of low and medium contrast; None takes terciles.
      methods: The two methods, names of `methods.METHODS`: one in WinCLIP's place, one in AnomalyCLIP's.
      params: Learned parameters by method, as pairs, which replace those in `options`. Without any, a method
        takes those bundled with the weights.
      quick: Whether to show less in a few minutes, see `studies.quick`. Only the first of the seeds is used.

    Raises:
      InputError: A value is none of these, or a method lacks an option.
    """

    weights: str
    dataset: str
    data_dir: str | None = None
    categories: tuple[str, ...] = ()
    options: MethodOptions = MethodOptions()
    batch_size: int = 16
    dtype: str = "float32"
    shots: tuple[int, ...] = (1, 2, 4)
    seeds: tuple[int, ...] = (0, 1, 2)
    prompts: PromptEnsemble | None = None
    domains: tuple[Domain, ...] = field(default=())
    epochs: int = 15
    contrasts: tuple[float, float] | None = None
    methods: tuple[str, ...] = field(default=("winclip", "anomalyclip"), metadata=YOUNGER)
    params: tuple[tuple[str, str], ...] = field(default=(), metadata=YOUNGER)
    quick: bool = field(default=False, metadata=YOUNGER)

    def __post_init__(self) -> None:
        self._check_methods()
        for name, values in (("shots", self.shots), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}={','.join(map(str, values))}: give one or more, each once")
        if self.quick:
            object.__setattr__(self, "seeds", self.seeds[:1])
        if min(self.shots) < 1:
            raise InputError("--shots: 0 is always run; give numbers of 1 or more")
        if self.contrasts is not None and not self.contrasts[0] < self.contrasts[1]:
            low, high = self.contrasts
            raise InputError(f"--contrasts={low},{high} are not in order; give the lower bound first")

    def _check_methods(self) -> None:
        given = ",".join(self.methods)
        if len(self.methods) != 2 or len(set(self.methods)) < 2:
            raise InputError(f"--methods={given}: give two different methods, for example subspacead,winclip")
        owned = {option for name in self.methods for option in method(name).options}
        for option in self.options.chosen():
            if option not in owned:
                raise InputError(f"--{option} is not an option of {' or '.join(self.methods)}; remove it")

    def options_of(self, name: str) -> MethodOptions:
        """Return the options of one of the methods."""
        own = self.options.restricted(method(name).options)
        params = dict(self.params)
        return replace(own, params=params[name]) if name in params else own


def read_prompts(path: str) -> PromptEnsemble:
    """Read the user's prompts from JSON: {"normal": [...], "anomalous": [...], "templates": [...]}.

    Normal and anomalous states hold "{}" in place of the object's name, and templates hold it in place of a
    state. "templates" is optional.

    Raises:
      InputError: The file cannot be read, or it holds something else.
    """
    expected = (
        '{"normal": ["flawless {}"], "anomalous": ["{} with a crack"], "templates": ["a photo of a {}."]}'
    )
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--prompts={path}: cannot be read ({error.strerror}); give a JSON file") from error
    except ValueError as error:
        raise InputError(f"--prompts={path}: is not JSON ({error}); expected {expected}") from error
    given = {"templates": ["{}"], **content} if isinstance(content, dict) else {}
    if {"good", "defective"} & given.keys():
        raise InputError(f'--prompts={path}: rename "good" to "normal" and "defective" to "anomalous"')
    lists = [given.get(name) for name in ("normal", "anomalous", "templates")]
    if given.keys() != {"normal", "anomalous", "templates"} or not all(map(_is_list_of_texts, lists)):
        raise InputError(f"--prompts={path}: expected {expected}")
    normal, anomalous, templates = (tuple(x or ()) for x in lists)
    for text in (*normal, *anomalous, *templates):
        if text.count("{}") != 1 or text.replace("{}", "").count("{") + text.replace("{}", "").count("}"):
            raise InputError(f"--prompts={path}: {text!r}: write {{}} once, in place of the name")
    return PromptEnsemble(normal, anomalous, templates)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)
