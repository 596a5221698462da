"""Judging images, frames and what a camera leaves, and keeping the answers."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from tqdm import tqdm

from vlmad_jax.data.pipeline import ReadImage
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.answers import Answers, Counts
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.journal import Journal, Kept
from vlmad_jax.inspection.judged import Judged, Key, judge_files, judge_frames, judge_paths
from vlmad_jax.inspection.live import Arrival, judge_live, named, watch
from vlmad_jax.inspection.map_places import MapPlaces, absolute, common_base
from vlmad_jax.inspection.rows import Row
from vlmad_jax.inspection.smoothing import Smoothing
from vlmad_jax.inspection.sources import Found, find
from vlmad_jax.inspection.video import frames_told, is_image_or_video, is_video
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.contents import open_digest_store
from vlmad_jax.runtime.notices import print_stderr

# The rows of images by their paths, each once, in any order.
Engine = Callable[[Sequence[str]], Iterator[Row]]


@dataclass(frozen=True)
class PredictConfig:
    """How images are judged.

    Attributes:
      sequence: each folder's images, in the order of their names, are frames of a sequence, and a file of
        several images is a sequence of its own. Videos always are.
      smoothing: of sequences.
      save_maps: also write a heat map of each image.
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
    """Judges images and videos, files or folders with all that is below them, and writes rows to `out`.

    Args:
      detector: judges.
      sources: files and folders.
      out: folder of the rows. The rows of an earlier run are kept, but those of files whose content changed.
      config: how they are judged.
      engine: judges with that detector elsewhere: images, not sequences, and makes no heat maps.

    Returns the counts of what this call judged, and apart, of what an earlier run left of these sources.

    Raises:
      InputError: nothing at one of the sources, `out` is one of them or holds something else, or it cannot
        be written; or sequences or heat maps where there is an engine.
    """
    check_apart(sources, out)
    paths, refused = _found(sources, out)
    sized = not config.sequence and not any(is_video(Path(path)) for path in paths)
    if engine and (config.save_maps or not sized):
        raise InputError("videos, --sequence and --save_maps are of --engine=local; leave them out")
    single, sequences = _split(paths, config.sequence)
    journal = _journal(detector, out, config)
    journal.forget_changed(paths, sequences)
    asked = set(paths)
    kept = {key: row for key, row in journal.done.items() if key.path in asked}
    if others := len(journal.done) - len(kept):
        told = f"rows in {out} not counted, because their files are gone or belong to other sources: {others}"
        print_stderr(told)
    with journal, open_digest_store() as memory:
        maps = MapPlaces.taken(out, common_base(sources)) if config.save_maps else None
        answers = Answers(journal, maps, None, memory, kept)
        for path, error in refused:
            _add(answers, Judged.failed(Key(path), error))
        todo = [path for path in single if not _is_done(path, kept)]
        with tqdm(total=len(paths) if sized else None, unit=" images", disable=None) as bar:
            bar.update(len(single) - len(todo))
            found: Iterator[Judged | Row] = (
                engine(todo) if engine else judge_files(detector, todo, config.workers)
            )
            for judged in itertools.chain(found, _judged_sequences(detector, sequences, kept, config)):
                if judged.key not in kept:
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
    """Judges images as they come, and answers each at once by a line of JSON on `stream`.

    Args:
      detector: scores single images quickest with a batch size of 1.
      source: lines with paths, or a folder to watch; watching ends by an interrupt too.
      stream: of the answers.
      out: rows are also written there, if given, those of a file that is written again beside those of
        before; files of a watched folder that are in it, and did not change, are passed over.
      config: all images together are the sequence, if they are one.
      idle_seconds: watching ends when no image came for so long.

    Raises:
      InputError: see `watch` and `Journal`; or an answer cannot be written.
    """
    read = ReadImage(detector.canvas)
    detector.scorer.warm_up(detector.state)  # so that the first image need not wait
    if isinstance(source, Path) and out is not None:
        check_apart([str(source)], out)
    journal = None if out is None else _journal(detector, out, config)
    unchanged = journal.unchanged() if journal is not None and isinstance(source, Path) else {}
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(open_digest_store())
        if journal is not None:
            stack.enter_context(journal)
        base = source if isinstance(source, Path) else Path.cwd()
        maps = MapPlaces.taken(out, absolute(base)) if out is not None and config.save_maps else None
        answers = Answers(journal, maps, stream, memory, unchanged)
        arrivals: Iterator[Arrival]
        if isinstance(source, Path):
            done = {key.path: str(row.content) for key, row in unchanged.items()}
            arrivals = watch(source, read, done, out, idle_seconds)
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        else:
            arrivals = named(source, read)
        judged = judge_live(detector, arrivals)
        for answer in config.smoothing.apply(judged) if config.sequence else judged:
            answers.add(answer)
    return answers.counts


def check_apart(sources: Iterable[str], out: Path) -> None:
    """Raises InputError if results would be written among the images of a folder itself."""
    for source in sources:
        if Path(source).resolve() == out.resolve():
            raise InputError(f"--out={out}: is the folder of the images; give another")


def _journal(detector: FittedDetector, out: Path, config: PredictConfig) -> Journal:
    decides = {
        "detector": detector.checksum,
        "threshold": detector.threshold,
        "pixel_threshold": detector.decision.pixel_threshold,
        "sequence": config.sequence,
        "smoothing": config.smoothing.weight,
        "release": config.smoothing.release,
        "save_maps": config.save_maps,
        "software": software_versions(),
    }
    return Journal(out, decides, config.resume)


def _found(sources: Iterable[str], out: Path) -> tuple[list[str], list[Found]]:
    """Paths of images and videos, and apart what is none; there may be millions of the former."""
    paths: dict[str, None] = {}
    refused: list[Found] = []
    for found in (found for source in sources for found in find(source, is_image_or_video, out)):
        if found.error:
            refused.append(found)
        else:
            paths[found.path] = None
    return list(paths), refused


def _split(paths: Sequence[str], sequence: bool) -> tuple[list[str], dict[str, list[str]]]:
    """Files whose images are judged by themselves; and sequences: a folder with its files, or a file."""
    single: list[str] = []
    sequences: dict[str, list[str]] = {}
    for path in paths:
        if is_video(Path(path)) or (sequence and (frames_told(path) or 1) > 1):
            sequences[path] = []
        elif sequence:
            sequences.setdefault(os.path.dirname(path), []).append(path)
        else:
            single.append(path)
    return single, sequences


def _is_done(path: str, kept: Mapping[Key, Kept]) -> bool:
    """Whether there are rows of all images in a file."""
    if Key(path) in kept:
        return True
    if Key(path, 0) not in kept or (told := frames_told(path)) is None:
        return False
    return all(Key(path, number) in kept for number in range(told))


def _add(answers: Answers, judged: Judged | Row) -> None:
    if judged.error:
        print_stderr(f"left out: {judged.key.path}: {judged.error}")
    answers.add(judged)


def _judged_sequences(
    detector: FittedDetector,
    sequences: Mapping[str, Sequence[str]],
    kept: Mapping[Key, Kept],
    config: PredictConfig,
) -> Iterator[Judged]:
    """Each from its start unless it is done, for what came before counts."""
    for name, images in sequences.items():
        if all(Key(path) in kept for path in images) if images else _is_done(name, kept):
            continue
        frames = judge_paths(detector, images, config.workers) if images else judge_frames(detector, [name])
        yield from config.smoothing.apply(frames)
