"""Sequences of images: videos, which PyAV decodes, files of several images, and smoothed decisions."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from vlmad_jax.data.images import LARGEST_IMAGE, is_image, page_sizes, read_pages
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import Result
from vlmad_jax.inspection.stream import ScoredImage

VIDEOS = frozenset((".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"))
SKEW = 0.01  # largest difference of a display matrix from a quarter turn
# How a frame is rotated and mirrored for display, by the display matrix (a, b, c, d) in its header: the pixel
# at (x, y) is shown at (a x + c y, b x + d y). Telephones write the matrix instead of rotating the pixels.
TURNS = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Transpose.ROTATE_180,
    (0, 1, 1, 0): Transpose.TRANSPOSE,
    (0, 1, -1, 0): Transpose.ROTATE_270,
    (0, -1, 1, 0): Transpose.ROTATE_90,
    (0, -1, -1, 0): Transpose.TRANSVERSE,
}


def is_video(path: Path) -> bool:
    """Return whether a name is that of a video."""
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".")


def is_image_or_video(path: Path) -> bool:
    """Return whether a name is that of an image or a video."""
    return is_image(path) or is_video(path)


def frames_of(path: str) -> Iterator[Image.Image]:
    """Yield the frames of a video, or the images in another file, in the orientation of display.

    Raises:
      InputError: the file does not decode.
    """
    return _video_frames(path) if is_video(Path(path)) else read_pages(path)


def frame_count(path: str) -> int | None:
    """Return the number of frames by the header, or None; a video that was cut short holds fewer."""
    with contextlib.suppress(InputError):
        if not is_video(Path(path)):
            return len(page_sizes(path))
        with _opened(path) as stream:
            return stream.frames or None
    return None


def _video_frames(path: str) -> Iterator[Image.Image]:
    with _opened(path) as stream:
        for frame in stream.container.decode(stream):
            yield _as_shown(frame, path)


def _as_shown(frame: Any, path: str) -> Image.Image:
    """Return a frame of PyAV, rotated and mirrored by its display matrix."""
    image, matrix = frame.to_image(), frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32) / 2**16
    way = tuple(round(float(x)) for x in (a, b, c, d))
    if way not in TURNS or max(abs(np.subtract((a, b, c, d), way))) > SKEW:
        raise InputError(
            f"{path}: its header rotates it by an odd angle; encode it without, or by 90 degrees"
        )
    turn = TURNS[way]
    return image if turn is None else image.transpose(turn)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open the first video stream of a file; an error here or in the block becomes an InputError."""
    try:
        import av
    except ImportError:
        raise InputError(
            f"{path}: videos need the package av; install it with pip install 'vlmad-jax[video]'"
        ) from None
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise InputError(f"{path}: has no video stream; replace the file or remove it")
            stream = container.streams.video[0]
            if stream.width * stream.height > LARGEST_IMAGE:
                raise InputError(f"{path}: has {stream.width:,} x {stream.height:,} pixels; make it smaller")
            yield stream
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: does not decode ({reason}); replace the file or remove it") from None


@dataclass(frozen=True)
class Smoothing:
    """Exponential smoothing of scores and maps, and hysteresis of decisions, over a sequence.

    Attributes:
      weight: weight of the newest frame, above 0 and at most 1, which disables smoothing:
        map(t) = weight x new + (1 - weight) x map(t - 1), and the score likewise.
      release: after a bad frame, frames stay bad until their probability is below this; at most 0.5, which
        disables it.

    Raises:
      InputError: a value is out of range.
    """

    weight: float = 0.5
    release: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise InputError(f"--smoothing={self.weight}: give more than 0 and at most 1; 1 disables it")
        if not 0 <= self.release <= 0.5:
            raise InputError(f"--release={self.release}: give 0 to 0.5; 0.5 disables it")

    def apply(self, sequence: Iterable[ScoredImage]) -> Iterator[ScoredImage]:
        """Smooth the frames of one sequence, in order; a frame that could not be read passes unchanged."""
        before: Result | None = None
        for scored in sequence:
            if scored.result is None:
                yield scored
                continue
            before = self.follow(before, scored.result)
            yield scored.with_result(before)

    def follow(self, before: Result | None, new: Result) -> Result:
        """Return the smoothed result of a frame, given that of the frame before."""
        if before is None:
            return new
        score = self.weight * new.image + (1 - self.weight) * before.image
        maps = self.weight * new.canvas_map + (1 - self.weight) * before.canvas_map
        smooth = Result.of(score, maps.astype(new.canvas_map.dtype), new.size, new.decision)
        held = before.bad and smooth.probability >= self.release
        return dataclasses.replace(smooth, bad=smooth.bad or held)
