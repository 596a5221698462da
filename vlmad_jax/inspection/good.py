"""The good images that a detector is made of: found, read, and kept small."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data.images import page_sizes, read_pages
from vlmad_jax.data.pipeline import ReadImage, file_digest_of, prefetch, read_batches
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.judged import Key
from vlmad_jax.inspection.sources import Found, find

THUMBNAIL = 160  # pixels of the longer side
_TOGETHER = 8  # images read at a time


@dataclass(frozen=True)
class GoodFiles:
    """Good images by key, with their (width, height), and what is none, with the reason."""

    source: str
    sizes: dict[Key, tuple[int, int]]
    left_out: list[Found]

    @classmethod
    def below(cls, source: str) -> GoodFiles:
        """Those in a folder and below it, or in one file; their headers are read.

        Raises InputError when there is nothing at that path.
        """
        return cls.of(source, find(source))

    @classmethod
    def of(cls, source: str, found: Iterable[Found]) -> GoodFiles:
        """Those among what was found at a source, which is named to people; every page of a file is one."""
        sizes: dict[Key, tuple[int, int]] = {}
        left_out = []
        for path, error in found:
            try:
                if error:
                    raise InputError(error)
                pages = page_sizes(path)
                keys = [Key(path)] if len(pages) == 1 else [Key(path, number) for number in range(len(pages))]
                sizes.update(zip(keys, pages, strict=True))
            except InputError as reason:
                left_out.append(Found(path, str(reason).removeprefix(f"{path}: ")))
        return cls(source, sizes, left_out)

    def read(self, canvas: tuple[int, int], workers: int) -> GoodImages:
        """The images resized to a canvas; those that do not decode, or come twice, are left out too.

        Raises InputError when none is left.
        """
        keys, canvases, left_out = [], [], list(self.left_out)
        first_seen: dict[bytes, Key] = {}
        digests: dict[str, str] = {}
        read = self._rows(ReadImage(canvas), workers)
        for key, row in tqdm(read, "reading good images", len(self.sizes), unit=" images", disable=None):
            image, error = row["image"], row["error"].item().decode(errors="ignore")
            twin = first_seen.setdefault(hashlib.sha256(image.tobytes()).digest(), key)
            if error or twin != key:
                left_out.append(Found(str(key), error or f"is the same image as {twin}"))
                continue
            keys.append(key)
            canvases.append(image)
            digests[key.path] = file_digest_of(row).digest
        if not keys:
            reason = f" ({left_out[0].path}: {left_out[0].error})" if left_out else ""
            raise InputError(f"--references={self.source}: holds no image that can be read{reason}")
        return GoodImages(keys, np.stack(canvases), left_out, digests)

    def _rows(self, read: ReadImage, workers: int) -> Iterator[tuple[Key, dict[str, Any]]]:
        """What `read` makes of files of one image, then of the pages of the others."""
        single = [key.path for key in self.sizes if key.frame is None]
        batches = prefetch(read_batches(single, read, _TOGETHER, workers), lambda batch: batch)
        rows = itertools.chain.from_iterable(map(_unstacked, batches))
        yield from zip(map(Key, single), rows, strict=True)
        for path in dict.fromkeys(key.path for key in self.sizes if key.frame is not None):
            for number, row in enumerate(read.each(path, read_pages(path))):
                yield Key(path, number), row


@dataclass(frozen=True)
class GoodImages:
    """Good images, all different.

    Attributes:
      keys: which they are.
      canvases: uint8 (K, *canvas, 3).
      left_out: what was left out, with the reason.
      digests: of what each file held, by its path.
    """

    keys: list[Key]
    canvases: np.ndarray
    left_out: list[Found]
    digests: dict[str, str]

    def thumbnails(self, sizes: dict[Key, tuple[int, int]]) -> dict[str, bytes]:
        """JPEG files by name, in the shape of the images, whose (width, height) are given."""
        files = {}
        for number, (key, canvas) in enumerate(zip(self.keys, self.canvases, strict=True)):
            width, height = (max(1, round(side * THUMBNAIL / max(sizes[key]))) for side in sizes[key])
            data = io.BytesIO()
            Image.fromarray(canvas).resize((width, height)).save(data, "JPEG", quality=85)
            files[f"references/{number:04d}.jpg"] = data.getvalue()
        return files

    @property
    def files(self) -> dict[str, str]:
        """The files' paths from the root, with the digests of what they held."""
        return {str(Path(path).absolute()): digest for path, digest in self.digests.items()}


def _unstacked(batch: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [{name: x[row] for name, x in batch.items()} for row in range(len(batch["image"]))]
