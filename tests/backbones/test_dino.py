"""DINOv2 and DINOv3: the published features, and checkpoints that do not fit."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import case, difference
from vlmad_jax import InputError, PatchCore, WinCLIP, load_backbone
from vlmad_jax.backbones import dinov3
from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.backbones.checkpoints.key_tables import TRANSFORMS, parameter_shapes
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.backbones.positions import plain_bicubic, resize_positions
from vlmad_jax.methods import MethodOptions

WITH_REGISTERS, WITHOUT = "subspacead", "anomalydino"


@pytest.fixture(scope="module")
def dino() -> Backbone:
    return load_backbone(case(WITHOUT).directory)


@pytest.fixture(scope="module")
def registered() -> Backbone:
    return load_backbone(case(WITH_REGISTERS).directory)


def features_after(backbone: Backbone, images: np.ndarray, layer: int, norm: bool) -> np.ndarray:
    return np.asarray(backbone.features(images, (layer,), norm)["patches"])[:, 0]


@pytest.mark.usefixtures("as_people_run_it")
def test_features_of_the_trained_size(dino: Backbone) -> None:
    arrays = case(WITHOUT).arrays
    last = len(dino.widths)
    found = features_after(dino, arrays["native_images_uint8"], last, norm=True)
    assert difference(found, arrays["native_features"]) <= 2e-5


@pytest.mark.usefixtures("as_people_run_it")
@pytest.mark.parametrize("rule", ["hub", "transformers"])
def test_features_of_another_size(dino: Backbone, rule: str) -> None:
    """The authors' code and transformers resize positions differently; both are to be had by name."""
    arrays = case(WITHOUT).arrays
    backbone = dino.with_position_resize("hub bicubic") if rule == "hub" else dino
    positions = np.asarray(dino.params["vision"]["position_embedding"])
    resized = resize_positions(jnp.asarray(positions), (7, 7), backbone.config.position_resize)
    assert difference(resized, arrays[f"position_embeddings_{rule}"]) <= 2e-6
    for kind, images in (("features", "images_uint8"), ("reference_features", "reference_uint8")):
        found = features_after(backbone, arrays[images], len(dino.widths), norm=True)
        assert difference(found, arrays[f"plain_{rule}_{kind}"]) <= 2e-5


@pytest.mark.usefixtures("as_people_run_it")
def test_features_of_several_layers_with_registers_and_a_gated_mlp(registered: Backbone) -> None:
    arrays, setting = case(WITH_REGISTERS).arrays, case(WITH_REGISTERS).setting
    assert registered.config.gated_mlp
    assert registered.config.registers == 4
    layers = setting["hidden_state_indices"]  # 0 is the embedding, so that these count from 1
    for kind, images in (("features", "images_uint8"), ("reference_features", "reference_uint8")):
        found = np.asarray(registered.features(arrays[images], layers)["patches"]).mean(axis=1)
        assert difference(found, arrays[f"plain_{kind}"]) <= 2e-5


def test_what_a_backbone_says_of_itself(dino: Backbone, registered: Backbone) -> None:
    assert (dino.image_size, dino.patch_size, dino.embed_dim, dino.family) == (70, 14, 64, "dinov2")
    assert registered.family == "dinov2_with_registers"
    assert len(repr(dino)) < 300
    assert dino.grid(98, 71) == (7, 5)
    assert dino.fingerprint != dino.with_position_resize("hub bicubic").fingerprint


def test_images_that_are_not_square(dino: Backbone) -> None:
    images = np.random.default_rng(0).integers(256, size=(2, 42, 71, 3), dtype=np.uint8)
    found = dino.features(images, (1, 3))
    assert found["patches"].shape == (2, 2, 3 * 5, 64)
    assert found["class"].shape == (2, 2, 64)
    # What does not fill a patch is cut off.
    assert difference(found["patches"], dino.features(images[:, :, :70], (1, 3))["patches"]) == 0
    assert dino.encode_image(images).shape == (2, 64)


@pytest.mark.parametrize(("dtype", "largest"), [("bfloat16", 0.02), ("int8", 0.06)])
def test_other_dtypes_are_close(registered: Backbone, dtype: str, largest: float) -> None:
    images = case(WITH_REGISTERS).arrays["images_uint8"]
    other = load_backbone(case(WITH_REGISTERS).directory, dtype)
    exact, rounded = (np.asarray(x.encode_image(images)) for x in (registered, other))
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert 0 < error < largest
    assert registered.identity == other.identity


def test_methods_that_need_features_alone_take_it(dino: Backbone) -> None:
    arrays = case(WITHOUT).arrays
    detector = PatchCore.for_backbone(dino)
    assert detector.size in (70, (70, 70))
    references, images = arrays["native_images_uint8"], arrays["native_images_uint8"][:1]
    scores = detector.score(detector.prepare("", references), images)
    assert scores.map.shape == (1, 70, 70)
    with pytest.raises(InputError, match=r"dinov2 has no text encoder, which winclip needs.*patchcore"):
        WinCLIP.from_options(dino, MethodOptions())


def test_plain_bicubic_is_a_partition_of_one() -> None:
    for old, new in ((5, 7), (7, 5), (4, 4), (1, 3)):
        matrix = plain_bicubic(old, new)
        assert matrix.shape == (new, old)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(plain_bicubic(4, 4), np.eye(4), atol=1e-7)


def copied(directory: Path, **entries: object) -> Path:
    """A copy of a checkpoint whose `config.json` has other entries."""
    shutil.copytree(case(WITHOUT).directory, directory, ignore=shutil.ignore_patterns("io.npz"))
    raw = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(raw | entries))
    return directory


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model_type": "swin"}, "model_type 'swin' is not one of clip, dinov2"),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not one of quick_gelu"),
        ({"num_attention_heads": 5}, "width 64 does not divide into 5 heads"),
        ({"patch_size": [14, 7]}, r"patch_size \[14, 7\] is not that of squares"),
        ({"num_hidden_layers": "3"}, "layers '3' is not a positive whole number"),
        ({"num_hidden_layers": 2}, "unexpected: encoder.layer.2"),
        ({"use_swiglu_ffn": True}, "missing: encoder.layer.0.mlp.weights_in.bias"),
        ({"model_type": "dinov3_vit"}, "missing: .*layer.0"),
        ({"model_type": "dinov2_with_registers"}, "missing: embeddings.register_tokens"),
    ],
)
def test_a_configuration_that_does_not_fit(tmp_path: Path, entries: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_backbone(copied(tmp_path / "model", **entries))
    assert "\n" not in str(error.value)


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    directory = copied(tmp_path / "model")
    tensors = read_tensors(directory, "transformers")
    damaged = {name: x for name, x in tensors.items() if name != "layernorm.bias"}
    write_safetensors(directory / "model.safetensors", damaged)
    with pytest.raises(InputError, match=r"missing: layernorm.bias\); download it again"):
        load_backbone(directory)


def test_without_preprocessing_what_is_assumed_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = copied(tmp_path / "model")
    (directory / "preprocessor_config.json").unlink()
    assert load_backbone(directory).config.image_mean == (0.485, 0.456, 0.406)
    assert "has no preprocessor_config.json" in capsys.readouterr().err


def test_the_filter_of_resizing_is_the_checkpoints(tmp_path: Path) -> None:
    directory = copied(tmp_path / "model")
    path = directory / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resample": 2}))
    assert load_backbone(directory).resample == "bilinear"


def test_layers_that_there_are_not(dino: Backbone) -> None:
    image = np.zeros((1, 70, 70, 3), np.uint8)
    with pytest.raises(InputError, match="feature layer 9 does not fit this backbone; give 1 to"):
        dino.features(image, (9,))
    with pytest.raises(InputError, match="have to be one or more, each once"):
        dino.features(image, ())


def test_a_dinov3_without_registers(tmp_path: Path) -> None:
    """Its checkpoint has an empty tensor of them, and positions turn queries and keys."""
    raw = {"model_type": "dinov3_vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    raw |= {"intermediate_size": 24, "image_size": 32, "patch_size": 8}
    config, rng = dinov3.configure(raw), np.random.default_rng(0)
    shapes = parameter_shapes(config)
    assert shapes.keys() == dinov3.table(config).keys()
    tensors = {
        name: rng.standard_normal(TRANSFORMS[kind].shape(shapes[path], 8)).astype(np.float32)
        for path, (name, kind) in dinov3.table(config).items()
    }
    tensors["embeddings.register_tokens"] = np.zeros((1, 0, 16), np.float32)
    (tmp_path / "config.json").write_text(json.dumps(raw))
    shutil.copy(case(WITHOUT).directory / "preprocessor_config.json", tmp_path)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    backbone = load_backbone(tmp_path)
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, :8, :8] = 255
    found, moved = (np.asarray(backbone.encode_image(x)) for x in (image, image[:, ::-1]))
    assert backbone.features(image, (1, 2))["patches"].shape == (1, 2, 16, 16)
    assert difference(found, moved) > 1e-3
