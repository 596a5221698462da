"""Reading images in batches of one shape with grain; decoding and resizing run in its workers."""

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vlmad_jax.data.images import SeveralImages, open_image, resize_image
from vlmad_jax.data.masks import read_masks, resize_mask
from vlmad_jax.data.prefetch import closed_at_exit, prefetch
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.workers import stream
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.contents import UNKNOWN, Seen, Signature, seen, signature

__all__ = ["Batch", "ReadImage", "batches", "prefetch", "read_batches", "why_unreadable"]

_REASON = "S400"  # bytes kept of a reason, so that reasons can be stacked


@dataclass(frozen=True)
class Batch:
    """Images of one group, padded to one shape.

    A padding row, like an image that does not decode, has zeros for an image and `readable` False.
    """

    image: np.ndarray  # uint8 (B, S, S, 3)
    mask: np.ndarray  # uint8 (B, S, S), 0 or 1; zeros where there is no mask or none was wanted
    index: np.ndarray  # int32 (B,), the position in the group, -1 for padding
    readable: np.ndarray  # bool (B,)
    group: int  # the position of the group


@dataclass(frozen=True)
class Row:
    """One row of a batch before it is read; `sample` is None for padding."""

    sample: Sample | None
    index: int
    group: int


@dataclass(frozen=True)
class ReadRow:
    """Decode and resize one row; what grain runs in its threads and worker processes."""

    size: int
    with_masks: bool

    def __call__(self, row: Row) -> dict[str, Any]:
        image = np.zeros((self.size, self.size, 3), np.uint8)
        mask = np.zeros((self.size, self.size), np.uint8)
        readable = row.sample is not None
        try:
            if row.sample is not None:
                pixels = resize_image(open_image(row.sample.path), self.size)
                if self.with_masks and row.sample.label and row.sample.masks:
                    mask = resize_mask(read_masks(row.sample.masks), self.size)
                image = pixels
        except InputError:
            readable = False
        return {
            "image": image,
            "mask": mask,
            "index": np.int32(row.index),
            "readable": np.bool_(readable),
            "group": np.int32(row.group),
        }


@dataclass(frozen=True)
class ReadImage:
    """Decode and resize one image, by its path, to `shape`, rows and columns.

    "image" uint8 (*shape, 3); "size" (height, width) of the image; "milliseconds" that it took; "error", why
    it does not decode, UTF-8, empty if it does (the pixels are zeros else); "several", whether the file holds
    several images, and none of them was read; "digest" and "signature" of the file, see `contents.Seen`.
    """

    shape: tuple[int, int]

    def __call__(self, path: str) -> dict[str, Any]:
        before = signature(path)
        row = self.read(path, functools.partial(open_image, path))
        return row if row["error"] else row | _seen_fields(seen(path, before))

    def read(self, path: str, opened: Callable[[], Image.Image]) -> dict[str, Any]:
        """The image that `opened` gives; what else than InputError it raises is raised."""
        began = time.perf_counter()
        try:
            image = opened()
        except InputError as reason:
            failed = self.failed(str(reason).removeprefix(f"{path}: "))
            return failed | {"several": np.bool_(isinstance(reason, SeveralImages))}
        pixels, size = resize_image(image, self.shape), (image.height, image.width)
        return _image_row(pixels, size, 1000 * (time.perf_counter() - began), "")

    def failed(self, error: str) -> dict[str, Any]:
        """The row of an image that cannot be read."""
        return _image_row(np.zeros((*self.shape, 3), np.uint8), (0, 0), 0, error)

    def each(self, path: str, images: Iterator[Image.Image]) -> Iterator[dict[str, Any]]:
        """The rows of images that all come from one file; one that does not decode is the last."""
        before = signature(path)
        file = _seen_fields(seen(path, before))
        with contextlib.suppress(StopIteration):
            while True:
                yield self.read(path, functools.partial(next, images)) | file


def _image_row(pixels: np.ndarray, size: tuple[int, int], milliseconds: float, error: str) -> dict[str, Any]:
    return {
        "image": pixels,
        "size": np.array(size, np.int32),
        "milliseconds": np.float32(milliseconds),
        "error": np.array(error.encode("utf-8", "backslashreplace"), _REASON),
        "several": np.bool_(False),
        **_seen_fields(UNKNOWN),
    }


def _seen_fields(file: Seen) -> dict[str, Any]:
    numbers = file.signature or (0,) * len(Signature._fields)
    return {"digest": np.array(file.digest.encode(), "S32"), "signature": np.array(numbers, np.uint64)}


def seen_in(row: Mapping[str, Any]) -> Seen:
    """What `ReadImage` saw of the file."""
    digest = bytes(row["digest"]).decode()
    return Seen(digest, Signature(*map(int, row["signature"]))) if digest else UNKNOWN


def batches(
    groups: Sequence[Sequence[Sample]], size: int, batch_size: int, workers: int, with_masks: bool
) -> Iterator[Batch]:
    """Read the samples of all groups in order, resized to (size, size), in batches of `batch_size`.

    Each group (a category, say) fills whole batches, its last one padded, so that every batch has one shape
    and one group; an empty group has no batch. All groups are one pipeline: workers start once. `workers`
    is the number of processes that decode; 0 decodes in threads of this process. A script that asks for
    processes needs `if __name__ == "__main__":`, as with all multiprocessing. Closing the iterator ends
    them. Images that do not decode are marked, and `why_unreadable` tells the reason; moving batches to
    the device is left to `prefetch`.
    """
    rows = [row for number, group in enumerate(groups) for row in _padded(group, number, batch_size)]
    return closed_at_exit(_batches(read_batches(rows, ReadRow(size, with_masks), batch_size, workers)))


def read_batches(
    rows: Sequence[Any], read: Callable[[Any], dict[str, Any]], batch_size: int, workers: int
) -> Generator[dict[str, np.ndarray], None, None]:
    """`read` of each row, in order, stacked by name, `batch_size` at a time; the last batch may be shorter.

    `workers` and closing are as `batches` says.
    """
    import grain  # imports JAX; and what it does at exit has to come after what `closed_at_exit` does

    if not rows:
        return _none()
    return stream(grain.MapDataset.source(rows).map(read).batch(batch_size), workers)


def _none() -> Generator[dict[str, np.ndarray], None, None]:
    yield from ()


def why_unreadable(sample: Sample, with_masks: bool) -> str | None:
    """The one line that says why an image, or its mask, does not decode; None if both do."""
    try:
        open_image(sample.path)
        if with_masks and sample.label and sample.masks:
            read_masks(sample.masks)
    except InputError as error:
        return str(error)
    return None


def _padded(group: Sequence[Sample], number: int, batch_size: int) -> list[Row]:
    rows = [Row(sample, index, number) for index, sample in enumerate(group)]
    return rows + [Row(None, -1, number)] * (-len(group) % batch_size)


def _batches(read: Generator[dict[str, np.ndarray], None, None]) -> Iterator[Batch]:
    with contextlib.closing(read):
        yield from map(_batch, read)


def _batch(arrays: dict[str, np.ndarray]) -> Batch:
    image, mask, index, readable = (arrays[name] for name in ("image", "mask", "index", "readable"))
    return Batch(image, mask, index, readable, int(arrays["group"][0]))
