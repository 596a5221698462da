"""The two compared methods, and the reasons for which a study cannot be made of them."""

from __future__ import annotations

from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.trained_on import report_training_data
from vlmad_jax.methods import LEARNING, WinCLIP, method
from vlmad_jax.studies.method_runs import ImageRuns, MethodRuns
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.winclip_runs import WinclipRuns


def compared(runner: Runner) -> tuple[MethodRuns, MethodRuns]:
    """Return the two compared methods, in WinCLIP's place and in AnomalyCLIP's.

    WinCLIP in its published setting runs on stored embeddings, which it shares with the studies of its parts.

    Raises:
      InputError: A method does not fit the backbone, lacks learned parameters, or needs more reference images
        than there are.
    """
    return runner.cached("compared", lambda: _compared(runner))


def _compared(runner: Runner) -> tuple[MethodRuns, MethodRuns]:
    config = runner.config
    first, second = (_runs(runner, name) for name in config.methods)
    for runs in (first, second):
        if "params" in runs.detector.options:
            params = config.options_of(runs.name).params
            report_training_data(runs.name, config.weights, params, runner.dataset)
        if runs.shots and not runner.has_references:
            counts = {name: len(runner.dataset.select(name, "train")) for name in runner.dataset.categories}
            fewest = min(counts, key=counts.__getitem__)
            raise InputError(
                f"--shots={','.join(map(str, config.shots))}: {runs.name} needs reference images, and "
                f"{fewest} has {counts[fewest]} normal training images; give smaller numbers or other methods"
            )
    return first, second


def _runs(runner: Runner, name: str) -> MethodRuns:
    options = runner.config.options_of(name)
    if name == WinCLIP.name and not options.chosen():
        return WinclipRuns.of(runner)
    detector, params = method(name).from_options(runner.backbone, options)
    return ImageRuns(runner, detector, params)


def titles_of(methods: tuple[MethodRuns, ...]) -> str:
    """Return the titles of methods, joined by "and"."""
    return " and ".join(runs.title for runs in methods)


def with_references(runner: Runner) -> tuple[MethodRuns, ...]:
    """Return the compared methods that take reference images."""
    return tuple(runs for runs in compared(runner) if runs.takes_references)


def with_probabilities(runner: Runner) -> tuple[MethodRuns, ...]:
    """Return the compared methods whose image scores can be probabilities."""
    return tuple(runs for runs in compared(runner) if runs.gives_probabilities)


def trained(runner: Runner) -> tuple[MethodRuns, ...]:
    """Return the compared methods that are trained on other data sets."""
    return tuple(runs for runs in compared(runner) if runs.name in LEARNING)


def without_winclip(runner: Runner) -> str | None:
    """Return why studies of WinCLIP's parts cannot be made; None if they can."""
    present = WinCLIP.name in runner.config.methods
    return None if present else "WinCLIP, whose parts they vary, is not compared"


def without_references(runner: Runner) -> str | None:
    """Return why studies of the number of reference images cannot be made; None if they can."""
    return None if with_references(runner) else f"{neither(runner)} takes reference images"


def without_steps(runner: Runner) -> str | None:
    """Return why gains with more reference images cannot be measured; None if they can."""
    steps = any(len(runs.numbers) > 1 for runs in with_references(runner))
    return None if steps else "no method runs with two numbers of reference images"


def without_probabilities(runner: Runner) -> str | None:
    """Return why scores cannot be judged as probabilities; None if they can."""
    if with_probabilities(runner):
        return None
    return f"{neither(runner)} gives image scores that are probabilities"


def without_training(runner: Runner) -> str | None:
    """Return why training on other data sets cannot be compared; None if it can."""
    return None if trained(runner) else f"{neither(runner)} is trained on other data sets"


def neither(runner: Runner) -> str:
    """Return the subject of a sentence about what both methods lack."""
    first, second = compared(runner)
    return f"neither {first.title} nor {second.title}"
