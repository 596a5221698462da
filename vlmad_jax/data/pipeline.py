"""Reading images in batches of one shape with grain, whose workers decode and resize them."""

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vlmad_jax.data.images import SeveralImages, open_image, resize_image
from vlmad_jax.data.masks import read_masks
from vlmad_jax.data.prefetch import close_at_exit, prefetch
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.workers import stream
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.contents import UNKNOWN, FileDigest, Signature, digest_if_unchanged, signature
from vlmad_jax.runtime.sizes import ImageSize

__all__ = ["Batch", "ReadImage", "batches", "prefetch", "read_batches", "read_error"]

_ERROR_TYPE = "S400"  # error messages have a fixed number of bytes, so that they can be stacked


@dataclass(frozen=True)
class Batch:
    """Images of one group, padded to a fixed shape.

    Padding rows and images that do not decode are zeros, and `readable` is False.
    """

    image: np.ndarray  # uint8 (B, height, width, 3)
    mask: np.ndarray  # uint8 (B, height, width), 0 or 1; zeros if there is no mask or masks are not read
    index: np.ndarray  # int32 (B,), the position in the group, -1 for padding
    readable: np.ndarray  # bool (B,)
    group: int  # the position of the group


@dataclass(frozen=True)
class Row:
    """A row of a batch before it is read; `sample` is None for padding."""

    sample: Sample | None
    index: int
    group: int


@dataclass(frozen=True)
class ReadRow:
    """The function that decodes and resizes one row in grain's threads or worker processes.

    Attributes:
      resizings: The resizing of each group, or one for all.
      with_masks: Whether to read masks.
    """

    resizings: tuple[Resizing, ...]
    with_masks: bool

    def __call__(self, row: Row) -> dict[str, Any]:
        """Return one row of the arrays of a batch."""
        resizing = self.resizings[row.group if len(self.resizings) > 1 else 0]
        image = np.zeros((*resizing.cut, 3), np.uint8)
        mask = np.zeros(resizing.cut, np.uint8)
        readable = row.sample is not None
        try:
            if row.sample is not None:
                pixels = resizing.image(open_image(row.sample.path))
                if self.with_masks and row.sample.label and row.sample.masks:
                    mask = resizing.mask(read_masks(row.sample.masks))
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
    """The function that decodes an image, given by its path, and resizes it to `shape` (rows, columns).

    `resample` is the filter, a name in `images.FILTERS`.

    It returns a row with these entries:

    - "image": the pixels, uint8 (*shape, 3); zeros if there is an error;
    - "size": the (height, width) of the original image;
    - "milliseconds": the time it took;
    - "error": why the image cannot be read, UTF-8; empty if it can;
    - "several": whether the file holds several images, of which none was read;
    - "digest" and "signature" of the file, see `contents.FileDigest`.
    """

    shape: tuple[int, int]
    resample: str = "bicubic"

    def __call__(self, path: str) -> dict[str, Any]:
        """Return the row of an image."""
        before = signature(path)
        row = self.read(path, functools.partial(open_image, path))
        return row if row["error"] else row | _digest_fields(digest_if_unchanged(path, before))

    def read(self, path: str, open_it: Callable[[], Image.Image]) -> dict[str, Any]:
        """Return the row of the image that `open_it` returns; its InputError becomes the row's error."""
        began = time.perf_counter()
        try:
            image = open_it()
        except InputError as reason:
            failed = self.failed(str(reason).removeprefix(f"{path}: "))
            return failed | {"several": np.bool_(isinstance(reason, SeveralImages))}
        pixels, size = resize_image(image, self.shape, self.resample), (image.height, image.width)
        return _image_row(pixels, size, 1000 * (time.perf_counter() - began), "")

    def failed(self, error: str) -> dict[str, Any]:
        """Return the row of an image that cannot be read."""
        return _image_row(np.zeros((*self.shape, 3), np.uint8), (0, 0), 0, error)

    def each(self, path: str, images: Iterator[Image.Image]) -> Iterator[dict[str, Any]]:
        """Yield the rows of the images of one file, up to the first that does not decode."""
        before = signature(path)
        file = _digest_fields(digest_if_unchanged(path, before))
        with contextlib.suppress(StopIteration):
            while True:
                yield self.read(path, functools.partial(next, images)) | file


def _image_row(pixels: np.ndarray, size: tuple[int, int], milliseconds: float, error: str) -> dict[str, Any]:
    return {
        "image": pixels,
        "size": np.array(size, np.int32),
        "milliseconds": np.float32(milliseconds),
        "error": np.array(error.encode("utf-8", "backslashreplace"), _ERROR_TYPE),
        "several": np.bool_(False),
        **_digest_fields(UNKNOWN),
    }


def _digest_fields(file: FileDigest) -> dict[str, Any]:
    numbers = file.signature or (0,) * len(Signature._fields)
    return {"digest": np.array(file.digest.encode(), "S32"), "signature": np.array(numbers, np.uint64)}


def file_digest_of(row: Mapping[str, Any]) -> FileDigest:
    """Return the digest and the signature of the file of a row that `ReadImage` returned."""
    digest = bytes(row["digest"]).decode()
    return FileDigest(digest, Signature(*map(int, row["signature"]))) if digest else UNKNOWN


def batches(
    groups: Sequence[Sequence[Sample]],
    size: ImageSize | Resizing | list[Resizing],
    batch_size: int,
    workers: int,
    with_masks: bool,
) -> Iterator[Batch]:
    """Read the samples of all groups in order as batches.

    Every batch has as many rows and one group (for example a category): the last batch of a group is
    padded. An empty group has no batch. All groups share one pipeline, so workers start once, and closing the
    iterator ends them. `read_error` returns why an image is not readable. `prefetch` can move batches to the
    device.

    Args:
      groups: The samples of each group.
      size: The side of the resized images in pixels, or their (height, width); or how images are resized, one
        for all groups or one for each.
      batch_size: The number of rows of a batch.
      workers: The number of processes that decode images; 0 decodes in threads of this process. As always
        with multiprocessing, a script that uses processes needs `if __name__ == "__main__":`.
      with_masks: Whether to read masks.
    """
    rows = [row for number, group in enumerate(groups) for row in _padded(group, number, batch_size)]
    given = size if isinstance(size, list) else [size]
    resizings = tuple(x if isinstance(x, Resizing) else Resizing.to(x) for x in given)
    return close_at_exit(_batches(read_batches(rows, ReadRow(resizings, with_masks), batch_size, workers)))


def read_batches(
    rows: Sequence[Any], read: Callable[[Any], dict[str, Any]], batch_size: int, workers: int
) -> Generator[dict[str, np.ndarray], None, None]:
    """Yield the results of `read` for the rows in order, stacked by name; the last batch may be shorter.

    `workers` and closing work as in `batches`.
    """
    import grain  # imports JAX; its exit handlers must run after those of `close_at_exit`

    if not rows:
        return _no_batches()
    return stream(grain.MapDataset.source(rows).map(read).batch(batch_size), workers)


def _no_batches() -> Generator[dict[str, np.ndarray], None, None]:
    yield from ()


def read_error(sample: Sample, with_masks: bool) -> str | None:
    """Return a line that says why an image or its mask cannot be read, or None if both can."""
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
