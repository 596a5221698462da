"""The synthetic set: procedurally rendered products of the families that pretraining never sees.

Rendered once into the cache, in the MVTec layout: for each family one product (a category) with 16 good
pictures to train, and 20 good and 40 defective ones to test, at 256 x 256 pixels, with masks. The folder is
named by a digest of everything that decides the pixels, so another version of the renderer is another folder.
"""

import tempfile
from pathlib import Path

from vlmad_jax.data.layout import scan_layout
from vlmad_jax.data.source import Source, cache_folder
from vlmad_jax.errors import InputError


def _locate(data_dir: Path | None) -> Path:
    from vlmad_jax.data.synthetic_pictures import Plan, render_all, version  # imports the renderer

    if data_dir is not None:
        raise InputError("--data_dir: dataset synthetic is rendered by itself; leave the flag out")
    plan = Plan()
    root = cache_folder() / "synthetic" / version(plan)
    if root.is_dir():
        return root
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=".rendering.") as temporary:
            unfinished = Path(temporary, root.name)
            render_all(unfinished, plan)
            unfinished.rename(root)
    except OSError as error:
        if not root.is_dir():  # else another process was quicker
            message = f"{root.parent}: cannot be written ({error.strerror})"
            raise InputError(f"{message}; set VLMAD_JAX_CACHE to another folder") from None
    return root


SYNTHETIC = Source(name="synthetic", homepage="", citation="", locate=_locate, scan=scan_layout)
