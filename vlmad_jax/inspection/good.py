"""The good pictures that a detector is made of: found, read, and kept small."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data.images import shown_size
from vlmad_jax.data.pipeline import ReadPicture, prefetch, read_batches
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.sources import Found, find

THUMBNAIL = 160  # pixels of the longer side
_TOGETHER = 8  # pictures read at a time


@dataclass(frozen=True)
class GoodFiles:
    """Good pictures by path, with their (width, height), and what is none, with the reason."""

    source: str
    sizes: dict[str, tuple[int, int]]
    left_out: list[Found]

    @classmethod
    def below(cls, source: str) -> GoodFiles:
        """Those in a folder and below it, or one file; their headers are read.

        Raises InputError when there is nothing at that path.
        """
        return cls.of(source, find(source))

    @classmethod
    def of(cls, source: str, found: Iterable[Found]) -> GoodFiles:
        """Those among what was found at a source, which is named to people."""
        sizes, left_out = {}, []
        for path, error in found:
            try:
                if error:
                    raise InputError(error)
                sizes[path] = shown_size(path)
            except InputError as reason:
                left_out.append(Found(path, str(reason).removeprefix(f"{path}: ")))
        return cls(source, sizes, left_out)

    def read(self, canvas: tuple[int, int], workers: int) -> GoodPictures:
        """The pictures resized to a canvas; those that do not decode, or come twice, are left out too.

        Raises InputError when none is left.
        """
        paths, canvases, left_out = [], [], list(self.left_out)
        first_seen: dict[bytes, str] = {}
        rows = prefetch(read_batches(list(self.sizes), ReadPicture(canvas), _TOGETHER, workers), _rows)
        read = (row for batch in rows for row in batch)
        listed = tqdm(self.sizes, desc="reading good pictures", unit=" pictures", disable=None)
        for path, (image, error) in zip(listed, read, strict=True):
            twin = first_seen.setdefault(hashlib.sha256(image.tobytes()).digest(), path)
            if error or twin != path:
                left_out.append(Found(path, error or f"is the same picture as {twin}"))
                continue
            paths.append(path)
            canvases.append(image)
        if not paths:
            reason = f" ({left_out[0].path}: {left_out[0].error})" if left_out else ""
            raise InputError(f"--references={self.source}: holds no picture that can be read{reason}")
        return GoodPictures(paths, np.stack(canvases), left_out)


@dataclass(frozen=True)
class GoodPictures:
    """Good pictures, all different: paths, uint8 (K, *canvas, 3), and what was left out, with the reason."""

    paths: list[str]
    canvases: np.ndarray
    left_out: list[Found]

    def thumbnails(self, sizes: dict[str, tuple[int, int]]) -> dict[str, bytes]:
        """JPEG files by name, in the shape of the pictures, whose (width, height) are given."""
        files = {}
        for number, (path, canvas) in enumerate(zip(self.paths, self.canvases, strict=True)):
            width, height = (max(1, round(side * THUMBNAIL / max(sizes[path]))) for side in sizes[path])
            data = io.BytesIO()
            Image.fromarray(canvas).resize((width, height)).save(data, "JPEG", quality=85)
            files[f"references/{number:04d}.jpg"] = data.getvalue()
        return files

    @property
    def names(self) -> list[str]:
        """The paths from the root."""
        return [str(Path(path).absolute()) for path in self.paths]


def _rows(batch: dict[str, np.ndarray]) -> list[tuple[np.ndarray, str]]:
    return [
        (x, error.decode(errors="ignore")) for x, error in zip(batch["image"], batch["error"], strict=True)
    ]
