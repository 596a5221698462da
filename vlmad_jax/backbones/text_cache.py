"""A cache of text embeddings, so that a prompt ensemble is encoded once.

The key has everything that embeddings depend on: the sentences, the tokenizer's files, the text transformer's
configuration and parameters, the device and the versions of the software. Cached embeddings are therefore
equal to the bit to those that encoding would return.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from vlmad_jax.runtime.cache import cached_array, software_versions

# The largest size of the cache in bytes. WinCLIP's embeddings of a category take half a megabyte with ViT-L.
LARGEST_FOLDER = 2**28


def cached_embeddings(sentences: Sequence[str], setting: str, encode: Callable[[], Any]) -> np.ndarray:
    """Return the embeddings (N, E) of sentences from the cache, or from `encode` if they are not cached.

    Args:
      sentences: N sentences.
      setting: The key of the tokenizer, the configuration and the parameters.
      encode: A function that returns the embeddings.
    """
    device = jax.devices()[0]
    key = repr((list(sentences), setting, device.platform, device.device_kind, software_versions()))
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return cached_array("text", digest, LARGEST_FOLDER, lambda: np.asarray(encode()))


def parameters_digest(params: Any) -> str:
    """Return 64 hexadecimal digits that change with any parameter, hashed in parallel threads."""

    def digest(item: tuple[Any, jax.Array]) -> bytes:
        path, leaf = item[0], np.ascontiguousarray(item[1])
        named = hashlib.sha256(repr((path, leaf.dtype.name, leaf.shape)).encode())
        named.update(leaf.reshape(-1).view(np.uint8).data)
        return named.digest()

    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(digest, jax.tree.leaves_with_path(params)))).hexdigest()
