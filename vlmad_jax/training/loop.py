"""The training loop: progress, a log of every step, checkpoints, and stopping cleanly."""

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
from vlmad_jax.training.step import Batch, Context, Parts, Step, TrainState, replicate, shard, unreplicate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLD = 10  # a loss that falls to a share of one in so many is drawn on a logarithmic scale
# The losses of this many steps are fetched together, so that the device never waits for the log.
LOG_EVERY = 10


class Stop:
    """Turns SIGTERM into a flag for as long as it is entered."""

    def __init__(self) -> None:
        self.wanted = False

    def __enter__(self) -> Stop:
        self._previous = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _stop(self, *_: Any) -> None:
        self.wanted = True


def train(
    step: Step,
    state: TrainState,
    context: Context,
    batches: Callable[[int], Iterable[Batch]],
    steps: int,
    out: pathlib.Path,
    images_a_step: int,
    save_every: int,
    describe: Callable[[int], str] = lambda step: "",
) -> tuple[TrainState, int]:
    """Trains to `steps`, going on from the last checkpoint in `out`.

    Args:
      step: from `make_step`.
      state: where a fresh run starts, not replicated.
      context: what is frozen, not replicated.
      batches: the batches from a given step number on; of several processes, each gives its own part.
      steps: the step to stop at.
      out: `checkpoints/` and `log.jsonl`, one line a step, are kept there.
      images_a_step: for the rate that the progress bar shows.
      save_every: steps between checkpoints.
      describe: what the batch of a step holds, told if its loss is not finite.

    Returns:
      The state at the end, or where SIGTERM stopped it (saved either way), and that step.

    Raises:
      InputError: the loss is not finite; the last checkpoint is kept.
    """
    checkpoints = Checkpoints(out / "checkpoints")
    done = checkpoints.latest() or 0
    if done:
        state = checkpoints.restore(done, state)
    log = Log(out / "log.jsonl", done, describe)
    replicated, frozen = replicate(state), replicate(context)
    with (
        Stop() as stop,
        tqdm(
            total=steps, initial=done, unit="step", dynamic_ncols=True, disable=jax.process_index() > 0
        ) as bar,
    ):
        try:
            for batch in batches(done) if done < steps else ():
                replicated, terms = step(replicated, frozen, shard(batch))
                done += 1
                stopping = stop.wanted  # a signal that comes later in this step is seen in the next
                saving = done % save_every == 0 or done == steps or stopping
                # The log comes first: it refuses a loss that is not finite, which must not be saved.
                shown = log.add(done, terms, flush=saving)
                bar.update()
                if shown:
                    rate = (bar.format_dict["rate"] or 0) * images_a_step
                    bar.set_postfix_str(f"{format_terms(shown)} {rate:.0f} images/s")
                if saving:
                    checkpoints.save(done, unreplicate(replicated))
                if stopping:
                    break
        finally:
            checkpoints.close()
    return unreplicate(replicated), done


def format_terms(terms: dict[str, float]) -> str:
    """ "loss 1.234 contrast 0.567"."""
    return " ".join(f"{name} {value:.3f}" for name, value in terms.items() if name != "step")


class Log:
    """A JSON-lines file with the loss terms of every step."""

    def __init__(
        self, path: pathlib.Path, done: int, describe: Callable[[int], str] = lambda step: ""
    ) -> None:
        """Opens the log of a run that is at step `done`; lines of later steps, lost since, are dropped."""
        self.path, self.describe = path, describe
        kept = [line for line in read_log(path) if line["step"] <= done]
        if jax.process_index() == 0:
            write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._waiting: list[tuple[int, Parts]] = []

    def add(self, step: int, terms: Parts, flush: bool) -> dict[str, float] | None:
        """Notes a step; now and then, and with `flush`, writes what waits and returns the last line."""
        self._waiting.append((step, terms))
        if len(self._waiting) < LOG_EVERY and not flush:
            return None
        lines = [
            {"step": number, **{name: float(x) for name, x in jax.device_get(unreplicate(parts)).items()}}
            for number, parts in self._waiting
        ]
        self._waiting = []
        if jax.process_index() == 0:
            with self.path.open("a") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
        for line in lines:
            if not np.isfinite(line["loss"]):
                held = self.describe(int(line["step"]))
                raise InputError(
                    f"the loss is not finite at step {line['step']}{f' ({held})' if held else ''}; "
                    "lower the learning rate"
                )
        return lines[-1]


def read_log(path: pathlib.Path) -> list[dict[str, float]]:
    """The whole lines of a log; [] where there is none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def plot_losses(log: pathlib.Path, image: pathlib.Path) -> None:
    """Draws the total loss and each of its terms against the step, a panel each, as a PNG."""
    loss_figure(read_log(log)).savefig(image, dpi=120)


def loss_figure(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel for each loss of a log, each on a scale of its own, the total first.

    The scale is logarithmic where all values are above 0 and the largest is `FOLD` times the smallest.
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
        wide = means.min() > 0 and means.max() >= FOLD * means.min()
        axes.set(title=name, yscale="log" if wide else "linear")
        if not wide:
            axes.ticklabel_format(useOffset=False)
        axes.tick_params(labelbottom=True)
        axes.grid(alpha=0.3, which="both")
    figure.supxlabel("step")
    figure.supylabel("loss (running mean of 50 steps)")
    return figure


def running_mean(values: list[float], width: int = 50) -> np.ndarray:
    """The mean of each value and up to `width` - 1 before it."""
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)
