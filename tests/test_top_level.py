"""What `import vlmad_jax` offers, and that it costs nothing until it is used."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vlmad_jax
from tests.data.conftest import made_image, save
from tests.experiments.command import there
from vlmad_jax import InputError, read_image
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.data.images import resize_image


def test_every_name_is_there_and_nothing_else():
    assert [name for name in vlmad_jax.__all__ if getattr(vlmad_jax, name) is None] == []
    assert set(vlmad_jax.__all__) <= set(dir(vlmad_jax))
    with pytest.raises(AttributeError, match="module 'vlmad_jax' has no attribute 'nothing'"):
        vlmad_jax.nothing  # noqa: B018
    assert vlmad_jax.evaluate.__module__ == "vlmad_jax.evaluation.evaluate"
    assert vlmad_jax.fit.__module__ == "vlmad_jax.inspection.fit"


def test_the_import_alone_imports_nothing_slow():
    code = "import json, sys, vlmad_jax; vlmad_jax.__version__; print(json.dumps(list(sys.modules)))"
    assert not {"jax", "numpy", "absl", "flax"} & set(json.loads(there("-c", code).stdout))


def test_an_image_as_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME" if sys.platform != "win32" else "USERPROFILE", str(tmp_path))
    path = save(made_image(70), tmp_path / "a.png")
    image = read_image("~/a.png")
    shown = Image.open(path).convert("RGB")
    np.testing.assert_array_equal(image, np.asarray(shown))
    assert (image.dtype, image.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(read_image(path, 32), resize_image(shown, 32))
    with pytest.raises(InputError, match="size 0: give a side of 1 pixel or more"):
        read_image(path, 0)


def test_the_bundled_weights_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert hub.locate("tiny") == hub.locate("weights/tiny") == hub.BUNDLED_DIRECTORY
    assert [hub.is_bundled(name) for name in ("tiny", "weights/tiny", str(hub.BUNDLED_DIRECTORY))] == [
        True
    ] * 3
    (tmp_path / "tiny").mkdir()  # a folder of that name comes first
    assert not hub.is_bundled("tiny")
    assert hub.locate("tiny").resolve() == tmp_path / "tiny"
