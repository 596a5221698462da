"""Judging pictures, frames and what a camera leaves, and keeping the answers."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from tqdm import tqdm

from vlmad_jax.data.pipeline import ReadPicture
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.answers import Answers, Counts
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.journal import Journal
from vlmad_jax.inspection.judged import Judged, Key, judge_paths
from vlmad_jax.inspection.live import Arrival, judge_live, named, watch
from vlmad_jax.inspection.rows import Row
from vlmad_jax.inspection.smoothing import Smoothing
from vlmad_jax.inspection.sources import Found, find
from vlmad_jax.inspection.video import frames_told, has_frames, is_picture_or_video, is_video, judge_frames
from vlmad_jax.names import shown

# The rows of pictures by their paths, each once, in any order.
Engine = Callable[[Sequence[str]], Iterator[Row]]


@dataclass(frozen=True)
class PredictConfig:
    """How pictures are judged.

    Attributes:
      sequence: each folder's pictures, in the order of their names, are frames of a sequence, and a picture's
        file that holds several is a sequence of its own. Videos always are.
      smoothing: of sequences.
      save_maps: also write a heat map of each picture.
      workers: processes that decode; 0 decodes in threads of this one.
      resume: keep what an earlier run in the same folder did.
    """

    sequence: bool = False
    smoothing: Smoothing = field(default_factory=Smoothing)
    save_maps: bool = False
    workers: int = 0
    resume: bool = True


def predict(
    detector: FittedDetector,
    sources: Sequence[str],
    out: Path,
    config: PredictConfig,
    engine: Engine | None = None,
) -> Counts:
    """Judges pictures and videos, files or folders with all that is below them, and writes rows to `out`.

    Args:
      detector: judges.
      sources: files and folders.
      out: folder of the rows.
      config: how they are judged.
      engine: judges with that detector elsewhere: single pictures, and makes no heat maps.

    Returns the counts, with what an earlier run left.

    Raises:
      InputError: nothing at one of the sources, `out` is one of them or holds something else, or it cannot
        be written; or sequences or heat maps where there is an engine.
    """
    check_apart(sources, out)
    paths, refused = _found(sources, out)
    sized = not config.sequence and not any(is_video(Path(path)) for path in paths)
    if engine and (config.save_maps or not sized):
        raise InputError("videos, --sequence and --save_maps are of --engine=local; leave them out")
    with _journal(detector, out, config) as journal:
        answers = Answers(journal, config.save_maps, None)
        for path, error in refused:
            _add(answers, Judged.failed(Key(path), error))
        with tqdm(total=len(paths) if sized else None, unit=" pictures", disable=None) as bar:
            bar.update(sum(Key(path) in journal.done for path in paths))
            for judged in _judged(detector, paths, journal.done, config, engine):
                _add(answers, judged)
                bar.update()
    return answers.counts


def predict_live(
    detector: FittedDetector,
    source: BinaryIO | Path,
    stream: TextIO,
    out: Path | None,
    config: PredictConfig,
    idle_seconds: float | None = None,
) -> Counts:
    """Judges pictures as they come, and answers each at once by a line of JSON on `stream`.

    Args:
      detector: scores single pictures quickest with a batch size of 1.
      source: lines with paths, or a folder to watch; watching ends by an interrupt too.
      stream: of the answers.
      out: rows are also written there, if given; pictures of a watched folder that are in it are passed over.
      config: all pictures together are the sequence, if they are one.
      idle_seconds: watching ends when no picture came for so long.

    Raises:
      InputError: see `watch` and `Journal`; or an answer cannot be written.
    """
    read = ReadPicture(detector.canvas)
    detector.scorer.warm_up(detector.state)  # so that the first picture need not wait
    with contextlib.ExitStack() as stack:
        journal = None if out is None else stack.enter_context(_journal(detector, out, config))
        answers = Answers(journal, config.save_maps, stream)
        arrivals: Iterator[Arrival]
        if isinstance(source, Path):
            if out is not None:
                check_apart([str(source)], out)
            done = {key.path for key in journal.done} if journal is not None else set()
            arrivals = watch(source, read, done, out, idle_seconds)
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        else:
            arrivals = named(source, read)
        judged = judge_live(detector, arrivals)
        for answer in config.smoothing.apply(judged) if config.sequence else judged:
            answers.add(answer)
    return answers.counts


def check_apart(sources: Iterable[str], out: Path) -> None:
    """Raises InputError if results would be written among the pictures of a folder itself."""
    for source in sources:
        if Path(source).resolve() == out.resolve():
            raise InputError(f"--out={out}: is the folder of the pictures; give another")


def _journal(detector: FittedDetector, out: Path, config: PredictConfig) -> Journal:
    decides = {
        "detector": detector.checksum,
        "threshold": detector.threshold,
        "pixel_threshold": detector.decision.pixel_threshold,
        "sequence": config.sequence,
        "smoothing": config.smoothing.weight,
        "release": config.smoothing.release,
        "save_maps": config.save_maps,
    }
    return Journal(out, decides, config.resume)


def _found(sources: Iterable[str], out: Path) -> tuple[list[str], list[Found]]:
    """Paths of pictures and videos, and apart what is none; there may be millions of the former."""
    paths: list[str] = []
    refused: list[Found] = []
    for found in (found for source in sources for found in find(source, is_picture_or_video, out)):
        if found.error:
            refused.append(found)
        else:
            paths.append(found.path)
    return paths, refused


def _add(answers: Answers, judged: Judged | Row) -> None:
    if judged.error:
        tqdm.write(shown(f"left out: {judged.key.path}: {judged.error}"), file=sys.stderr)
    answers.add(judged)


def _judged(
    detector: FittedDetector,
    paths: Sequence[str],
    done: set[Key],
    config: PredictConfig,
    engine: Engine | None,
) -> Iterator[Judged | Row]:
    """What is not done yet. An unfinished sequence is judged from its start, for what came before counts."""
    if engine:
        yield from engine([path for path in paths if Key(path) not in done])
        return
    single: list[str] = []
    sequences: dict[str, list[str]] = {}
    for path in paths:
        if is_video(Path(path)) or (config.sequence and has_frames(path)):
            sequences[path] = []
        elif config.sequence:
            sequences.setdefault(str(Path(path).parent), []).append(path)
        elif Key(path) not in done:
            single.append(path)
    yield from judge_paths(detector, single, config.workers)
    for name, pictures in sequences.items():
        if pictures:
            if all(Key(path) in done for path in pictures):
                continue
            frames = judge_paths(detector, pictures, config.workers)
        else:
            told = frames_told(name)
            if told is not None and sum(key.path == name for key in done) >= told:
                continue
            frames = judge_frames(detector, name)
        yield from (judged for judged in config.smoothing.apply(frames) if judged.key not in done)
