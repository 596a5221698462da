"""Anomaly maps as TIFF files of 16-bit floats, which Pillow cannot write."""

import struct
import zlib

import numpy as np

_SHORT, _LONG = 3, 4
_DEFLATE, _BLACK_IS_ZERO, _FLOAT = 8, 1, 3


def float16_tiff(pixels: np.ndarray) -> bytes:
    """Return a map (height, width) as the bytes of a TIFF file with one channel of float16, compressed.

    Values beyond the range of float16 become its largest or smallest value.
    """
    limit = np.finfo(np.float16).max
    values = np.clip(pixels, -limit, limit).astype("<f2")
    height, width = values.shape
    data = zlib.compress(values.tobytes(), level=4)
    tags = (
        (256, _LONG, width),
        (257, _LONG, height),
        (258, _SHORT, 16),  # bits of a sample
        (259, _SHORT, _DEFLATE),
        (262, _SHORT, _BLACK_IS_ZERO),
        (273, _LONG, 8),  # the place of the pixels
        (277, _SHORT, 1),  # samples of a pixel
        (278, _LONG, height),  # rows of a strip
        (279, _LONG, len(data)),
        (339, _SHORT, _FLOAT),
    )
    data += b"\0" * (len(data) % 2)  # the directory begins at an even place
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + directory
