"""Score files and folders with a fitted detector, and write the results."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.journal import Journal, Kept, Row
from vlmad_jax.inspection.outputs import Counts, HeatMapPaths, OutputWriter, common_base
from vlmad_jax.inspection.sequences import Smoothing, frame_count, frames_of, is_image_or_video, is_video
from vlmad_jax.inspection.stream import Found, Key, ScoredImage, find, score_each, score_files, score_frames
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.contents import open_digest_store
from vlmad_jax.runtime.notices import print_stderr

Engine = Callable[[Sequence[str]], Iterator[Row]]  # yields the rows of the images in files, in any order


@dataclass(frozen=True)
class PredictConfig:
    """How images are scored.

    Attributes:
      sequence: the images of each folder, in the order of their names, are frames of a sequence, and a file
        of several images is a sequence of its own. A video always is a sequence.
      smoothing: smoothing of sequences.
      save_maps: also write a heat map of each image.
      workers: number of processes that decode; 0 decodes in threads of this process.
      resume: keep the rows of an earlier run in the same folder.
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
    """Score the images and videos in files and folders, and write their rows to `out`.

    Args:
      detector: the detector.
      sources: files, and folders with their subfolders.
      out: folder of the rows. Rows of an earlier run stay, except those of files whose content changed.
      config: how images are scored.
      engine: scores the files elsewhere with this detector, without sequences and heat maps.

    Returns:
      The counts of this call and, apart from them, of the rows of these sources from an earlier run.

    Raises:
      InputError: a source does not exist; `out` is a source, holds something else or cannot be written; or
        sequences or heat maps are asked for together with an engine.
    """
    check_apart(sources, out)
    paths, refused = _found(sources, out)
    sized = not config.sequence and not any(is_video(Path(path)) for path in paths)
    if engine and (config.save_maps or not sized):
        raise InputError("videos, --sequence and --save_maps need --engine=local; leave them out")
    single, sequences = _split(paths, config.sequence)
    journal = open_journal(detector, out, config)
    journal.forget_changed(paths, sequences)
    asked = set(paths)
    kept = {key: row for key, row in journal.done.items() if key.path in asked}
    if others := len(journal.done) - len(kept):
        print_stderr(
            f"rows in {out} not counted because their files are gone or belong to other sources: {others}"
        )
    with journal, open_digest_store() as memory:
        maps = HeatMapPaths.below(out, common_base(sources)) if config.save_maps else None
        writer = OutputWriter(journal, maps, None, memory, kept)
        for path, error in refused:
            _add(writer, ScoredImage.failed(Key(path), error))
        todo = [path for path in single if not _is_done(path, kept)]
        with tqdm(total=len(paths) if sized else None, unit=" images", disable=None) as bar:
            bar.update(len(single) - len(todo))
            found: Iterator[ScoredImage | Row] = (
                engine(todo) if engine else score_files(detector, todo, config.workers)
            )
            for scored in itertools.chain(found, _scored_sequences(detector, sequences, kept, config)):
                if scored.key not in kept:
                    _add(writer, scored)
                    bar.update()
    return writer.counts


def check_apart(sources: Iterable[str], out: Path) -> None:
    """Raise InputError if `out` is one of the sources."""
    for source in sources:
        if Path(source).resolve() == out.resolve():
            raise InputError(f"--out={out}: is the folder of the images; give another folder")


def open_journal(detector: FittedDetector, out: Path, config: PredictConfig) -> Journal:
    """Open the journal in `out`, whose configuration is everything that the results depend on."""
    depends_on = {
        "detector": detector.checksum,
        "threshold": detector.threshold,
        "pixel_threshold": detector.decision.pixel_threshold,
        "sequence": config.sequence,
        "smoothing": config.smoothing.weight,
        "release": config.smoothing.release,
        "save_maps": config.save_maps,
        "software": software_versions(),
    }
    return Journal(out, depends_on, config.resume)


def _found(sources: Iterable[str], out: Path) -> tuple[list[str], list[Found]]:
    """Return the paths of images and videos, of which there may be millions, and the other files."""
    paths: dict[str, None] = {}
    refused: list[Found] = []
    for found in (found for source in sources for found in find(source, is_image_or_video, out)):
        if found.error:
            refused.append(found)
        else:
            paths[found.path] = None
    return list(paths), refused


def _split(paths: Sequence[str], sequence: bool) -> tuple[list[str], dict[str, list[str]]]:
    """Return the files whose images stand alone, and the sequences: a folder with its files, or a file."""
    single: list[str] = []
    sequences: dict[str, list[str]] = {}
    for path in paths:
        if is_video(Path(path)) or (sequence and (frame_count(path) or 1) > 1):
            sequences[path] = []
        elif sequence:
            sequences.setdefault(os.path.dirname(path), []).append(path)
        else:
            single.append(path)
    return single, sequences


def _is_done(path: str, kept: Mapping[Key, Kept]) -> bool:
    """Return whether all images in a file have rows."""
    if Key(path) in kept:
        return True
    if Key(path, 0) not in kept or (frames := frame_count(path)) is None:
        return False
    return all(Key(path, number) in kept for number in range(frames))


def _add(writer: OutputWriter, scored: ScoredImage | Row) -> None:
    if scored.error:
        print_stderr(f"skipped: {scored.key.path}: {scored.error}")
    writer.add(scored)


def _scored_sequences(
    detector: FittedDetector,
    sequences: Mapping[str, Sequence[str]],
    kept: Mapping[Key, Kept],
    config: PredictConfig,
) -> Iterator[ScoredImage]:
    """Score each sequence that is not done, from its start, because decisions depend on earlier frames."""
    for name, images in sequences.items():
        if all(Key(path) in kept for path in images) if images else _is_done(name, kept):
            continue
        frames = (
            score_each(detector, images, config.workers)
            if images
            else score_frames(detector, [name], frames_of)
        )
        yield from config.smoothing.apply(frames)
