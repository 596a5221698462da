"""The synthetic sets: procedurally rendered products.

They are rendered once into the cache in the MVTec layout. Each category is a product of one family, with
normal and anomalous images of 256 x 256 pixels and masks.

- `synthetic`: eight families that pretraining never uses, each with 16 normal training images, and 20 normal
  and 40 anomalous test images.
- `synthetic_train`: the 84 named families of pretraining, each with 20 normal and 20 anomalous images for
  learning prompts.

The name of the folder depends on everything that determines the pixels: the plan, and the versions of this
package and its libraries.
"""

import functools
from pathlib import Path

from vlmad_jax.data.layout import scan_layout
from vlmad_jax.data.source import Source, cached_folder
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_key


def _locate(name: str, data_dir: Path | None) -> Path:
    from vlmad_jax.synthetic.dataset_images import PLANS, render_all  # imports the renderer

    if data_dir is not None:
        raise InputError(f"--data_dir: dataset {name} is rendered by this package; omit the flag")
    plan = PLANS[name]
    return cached_folder("synthetic", cache_key(repr(plan)), functools.partial(render_all, plan=plan))


def _source(name: str) -> Source:
    return Source(name, homepage="", citation="", locate=functools.partial(_locate, name), scan=scan_layout)


SYNTHETIC, SYNTHETIC_TRAIN = _source("synthetic"), _source("synthetic_train")
