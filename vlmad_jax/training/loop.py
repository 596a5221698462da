"""The training loop, with a progress bar, a log of every step, checkpoints and a clean stop on SIGTERM."""

from __future__ import annotations

import itertools
import json
import math
import pathlib
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_atomically
from vlmad_jax.training.checkpoints import Checkpoints
from vlmad_jax.training.step import Batch, Context, LossTerms, Step, TrainState, replicate, shard, unreplicate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A loss whose largest value is this many times its smallest is plotted on a logarithmic scale.
LOG_SCALE_RATIO = 10
# The losses of this many steps are fetched together, so that the device never waits for the log.
LOG_EVERY = 10


class StopRequest:
    """A context in which SIGTERM sets `requested` instead of ending the process."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopRequest:
        self._previous = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _stop(self, *_: Any) -> None:
        self.requested = True


def train(
    step: Step,
    state: TrainState,
    context: Context,
    batches: Callable[[int], Iterable[Batch]],
    steps: int,
    out: pathlib.Path,
    images_per_step: int,
    save_every: int,
    describe: Callable[[int], str] = lambda step: "",
) -> tuple[TrainState, int]:
    """Train until step `steps`, from the last checkpoint in `out` if there is one.

    Args:
      step: The step from `make_step`.
      state: The initial state, not replicated.
      context: The frozen inputs of the loss, not replicated.
      batches: Completed steps -> the batches that follow. Each process yields its own part.
      steps: The step to stop at.
      out: The run's folder, for `checkpoints/` and `log.jsonl`, which has one line a step.
      images_per_step: The number of images for the rate in the progress bar.
      save_every: The number of steps between checkpoints.
      describe: Step -> the contents of its batch, for the error of a loss that is not finite.

    Returns:
      The final state and step, or those at which SIGTERM stopped the run. Both are saved.

    Raises:
      InputError: The loss is not finite. The last checkpoint is kept.
    """
    checkpoints = Checkpoints(out / "checkpoints")
    done = checkpoints.latest() or 0
    if done:
        state = checkpoints.restore(done, state)
    log = Log(out / "log.jsonl", done, describe)
    replicated, frozen = replicate(state), replicate(context)
    with (
        StopRequest() as stop,
        tqdm(
            total=steps, initial=done, unit="step", dynamic_ncols=True, disable=jax.process_index() > 0
        ) as bar,
    ):
        try:
            for batch in batches(done) if done < steps else ():
                replicated, terms = step(replicated, frozen, shard(batch))
                done += 1
                stopping = stop.requested  # a later signal takes effect in the next step
                saving = done % save_every == 0 or done == steps or stopping
                # The log comes first: it raises for a loss that is not finite, whose state must not be saved.
                shown = log.add(done, terms, flush=saving)
                bar.update()
                if shown:
                    rate = (bar.format_dict["rate"] or 0) * images_per_step
                    bar.set_postfix_str(f"{format_terms(shown)} {rate:.0f} images/s")
                if saving:
                    checkpoints.save(done, unreplicate(replicated))
                if stopping:
                    break
        finally:
            checkpoints.close()
    return unreplicate(replicated), done


def format_terms(terms: dict[str, float]) -> str:
    """Format loss terms as in "loss 1.234 contrast 0.567"."""
    return " ".join(f"{name} {value:.3f}" for name, value in terms.items() if name != "step")


class Log:
    """A JSON-lines log of the loss terms of every step."""

    def __init__(
        self, path: pathlib.Path, done: int, describe: Callable[[int], str] = lambda step: ""
    ) -> None:
        """Open the log of a run at step `done` and drop the lines of later steps, which will be repeated."""
        self.path, self.describe = path, describe
        kept = [line for line in read_log(path) if line["step"] <= done]
        if jax.process_index() == 0:
            write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._waiting: list[tuple[int, LossTerms]] = []

    def add(self, step: int, terms: LossTerms, flush: bool) -> dict[str, float] | None:
        """Add a step. Every `LOG_EVERY` steps, or with `flush`, write all new lines and return the last.

        Raises:
          InputError: A loss is not finite.
        """
        self._waiting.append((step, terms))
        if len(self._waiting) < LOG_EVERY and not flush:
            return None
        lines = [
            {"step": number, **{name: float(x) for name, x in jax.device_get(unreplicate(terms)).items()}}
            for number, terms in self._waiting
        ]
        self._waiting = []
        if jax.process_index() == 0:
            with self.path.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
        for line in lines:
            if not np.isfinite(line["loss"]):
                images = self.describe(int(line["step"]))
                raise InputError(
                    f"the loss is not finite at step {line['step']}{f' ({images})' if images else ''}; "
                    "lower the learning rate"
                )
        return lines[-1]


def read_log(path: pathlib.Path) -> list[dict[str, float]]:
    """Return the complete lines of a log, or [] if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def plot_losses(log: pathlib.Path, figure: pathlib.Path) -> None:
    """Plot the total loss and each of its terms against the step, in one panel each, as a PNG."""
    loss_figure(read_log(log)).savefig(figure, dpi=120)


def loss_figure(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure with a panel for the total loss and one for each of its terms.

    The scale of a panel is logarithmic if all values are positive and the largest is at least
    `LOG_SCALE_RATIO` times the smallest.
    """
    from matplotlib.figure import Figure

    names = sorted((name for name in lines[0] if name != "step"), key=lambda name: name != "loss")
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(max(5, 4 * columns), 3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
    for name, axes in itertools.zip_longest(names, panels):
        if name is None:
            axes.remove()
            continue
        means = running_mean([line[name] for line in lines])
        axes.plot([line["step"] for line in lines], means)
        wide = means.min() > 0 and means.max() >= LOG_SCALE_RATIO * means.min()
        axes.set(title=name, yscale="log" if wide else "linear")
        if not wide:
            axes.ticklabel_format(useOffset=False)
        axes.tick_params(labelbottom=True)
        axes.grid(alpha=0.3, which="both")
    figure.supxlabel("step")
    figure.supylabel("loss (running mean of 50 steps)")
    return figure


def running_mean(values: list[float], width: int = 50) -> np.ndarray:
    """Return the mean of each value and up to `width` - 1 values before it."""
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)
