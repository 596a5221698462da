"""Files of many pictures: videos, decoded by PyAV, and animated or multi-page pictures."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from vlmad_jax.data.images import LARGEST_PICTURE, count_frames, is_picture, read_frames
from vlmad_jax.data.pipeline import ReadPicture, prefetch
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.judged import Judged, Key, Read, batched, judge_ahead, stacked

ANIMATED = frozenset((".apng", ".gif", ".tif", ".tiff", ".webp"))
VIDEOS = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"))


def is_video(path: Path) -> bool:
    """Whether the name is that of a video."""
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".")


def is_picture_or_video(path: Path) -> bool:
    """Whether the name is that of a picture or a video."""
    return is_picture(path) or is_video(path)


def has_frames(path: str) -> bool:
    """Whether a picture's file holds more than one; one that does not decode holds none."""
    if Path(path).suffix.lower() not in ANIMATED:  # telephones put small copies into a JPEG
        return False
    with contextlib.suppress(InputError):
        return count_frames(path) > 1
    return False


def judge_frames(detector: FittedDetector, path: str) -> Iterator[Judged]:
    """The frames of a file, in order; one that does not decode is the last, with the reason."""
    batches: Iterator[Read] = (
        ([Key(path, number) for number, _ in batch], stacked([row for _, row in batch]))
        for batch in batched(enumerate(_read(path, detector.canvas)), detector.batch_size)
    )
    return judge_ahead(detector, prefetch(batches, lambda batch: batch))


def frames_told(path: str) -> int | None:
    """How many frames a file says it has, if it does; that may be wrong for a video that was cut short."""
    with contextlib.suppress(InputError):
        if not is_video(Path(path)):
            return count_frames(path)
        with _opened(path) as stream:
            return stream.frames or None
    return None


def _read(path: str, shape: tuple[int, int]) -> Iterator[dict[str, Any]]:
    pictures = _video_frames(path) if is_video(Path(path)) else read_frames(path)
    read = ReadPicture(shape)
    with contextlib.suppress(StopIteration):
        while True:
            yield read.read(path, functools.partial(next, pictures))


def _video_frames(path: str) -> Iterator[Image.Image]:
    with _opened(path) as stream:
        for frame in stream.container.decode(stream):
            yield frame.to_image()


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The first video stream of a file; what goes wrong then or in the block is told as an InputError."""
    try:
        import av
    except ImportError:
        raise InputError(
            f"{path}: videos need the package av; install it by pip install 'vlmad-jax[video]'"
        ) from None
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise InputError(f"{path}: holds no pictures; replace the file or remove it")
            stream = container.streams.video[0]
            if stream.width * stream.height > LARGEST_PICTURE:
                raise InputError(f"{path}: has {stream.width:,} x {stream.height:,} pixels; make them fewer")
            yield stream
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: does not decode ({reason}); replace the file or remove it") from None
