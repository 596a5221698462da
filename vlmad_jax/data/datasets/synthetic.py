"""The synthetic sets: procedurally rendered products of families that pretraining sees, or never does.

Rendered once into the cache, in the MVTec layout: for each family one product (a category) with good and
defective images at 256 x 256 pixels, with masks.

- `synthetic`: eight unseen families, each with 16 good images to train, and 20 good and 40 defective ones
  to test;
- `synthetic_train`: the 84 families of pretraining that have a name, each with 20 good and 20 defective
  images, to learn prompts from.

The folder is named by all that decides the pixels: what is rendered, and the versions of the package and of
the libraries.
"""

import functools
from pathlib import Path

from vlmad_jax.data.layout import scan_layout
from vlmad_jax.data.source import Source, made_once
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_key


def _locate(name: str, data_dir: Path | None) -> Path:
    from vlmad_jax.synthetic.dataset_images import PLANS, render_all  # imports the renderer

    if data_dir is not None:
        raise InputError(f"--data_dir: dataset {name} is rendered by itself; leave the flag out")
    plan = PLANS[name]
    return made_once("synthetic", cache_key(repr(plan)), functools.partial(render_all, plan=plan))


def _source(name: str) -> Source:
    return Source(name, homepage="", citation="", locate=functools.partial(_locate, name), scan=scan_layout)


SYNTHETIC, SYNTHETIC_TRAIN = _source("synthetic"), _source("synthetic_train")
