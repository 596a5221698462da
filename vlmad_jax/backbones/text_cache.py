"""Embeddings of sentences kept between runs: a prompt ensemble is encoded once.

They are known by all that decides them: the sentences, the files of the tokenizer, the text transformer's
configuration and parameters, and where and with which versions they were computed. So what is found is what
encoding would have given, to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from vlmad_jax.runtime.cache import cached_array, software_versions

# Bytes of all embeddings together: WinCLIP's of a product take half a megabyte with ViT-L.
LARGEST_FOLDER = 2**28


def kept_embeddings(sentences: Sequence[str], setting: str, encode: Callable[[], Any]) -> np.ndarray:
    """Embeddings (N, E) of the sentences, from `encode` where they are not kept yet.

    `setting` names the tokenizer, the configuration and the parameters.
    """
    device = jax.devices()[0]
    key = repr((list(sentences), setting, device.platform, device.device_kind, software_versions()))
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return cached_array("text", digest, LARGEST_FOLDER, lambda: np.asarray(encode()))


def parameters_digest(params: Any) -> str:
    """64 hexadecimal digits that change with any parameter; hashed in threads, which hashing runs beside."""

    def digest(item: tuple[Any, jax.Array]) -> bytes:
        path, leaf = item[0], np.ascontiguousarray(item[1])
        named = hashlib.sha256(repr((path, leaf.dtype.name, leaf.shape)).encode())
        named.update(leaf.reshape(-1).view(np.uint8).data)
        return named.digest()

    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(digest, jax.tree.leaves_with_path(params)))).hexdigest()
