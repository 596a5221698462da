"""MuSc against the authors' numbers, and against its equations written in NumPy."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from tests.golden import case, difference, golden_clip, shallow_clip
from vlmad_jax import InputError, MuSc, load_backbone
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.methods.detector import Features
from vlmad_jax.methods.musc import aggregate, rescored

CASE = case("musc")
IMAGES = CASE.arrays["images_uint8"]
RNG = np.random.default_rng(0)


@functools.cache
def published() -> MuSc:
    setting = CASE.setting
    return MuSc(
        golden_clip("musc"),
        image_size=setting["input_size"],
        feature_layers=setting["feature_layers"],
        degrees=setting["degrees"],
        interval=setting["interval"],
        image_neighbours=setting["rscin_k"],
    )


def published_features() -> Features:
    """The authors' tokens, the class token dropped, and image features."""
    tokens = CASE.arrays["patch_tokens"][:, :, 1:]  # (L, N, P, D)
    return Features(CASE.arrays["image_features"], np.concatenate(list(tokens), axis=-1))


def shallow(**changes) -> MuSc:
    """MuSc with one layer and one degree, on a network of one layer."""
    setting = {"image_size": 64, "feature_layers": (1,), "degrees": (1,), **changes}
    return MuSc(shallow_clip("musc"), **setting)


@pytest.mark.usefixtures("as_people_run_it")
def test_features_equal_the_authors():
    detector = published()
    found = jax.device_get(detector._extract(IMAGES))
    expected = published_features()
    assert difference(found.patches, expected.patches) <= 2e-5
    assert difference(found.image, expected.image) <= 2e-5
    for degree in detector.degrees:
        layers = np.split(expected.patches[:1], 2, axis=-1)
        aggregated = np.stack([aggregate(x, detector.grid, degree)[0] for x in layers], axis=1)  # (P, L, D)
        assert difference(aggregated, CASE.arrays[f"aggregated_degree{degree}_first"]) <= 1e-5


@pytest.mark.usefixtures("as_people_run_it")
def test_scores_equal_the_authors_through_features_and_images():
    detector, arrays, features = published(), CASE.arrays, published_features()
    patches = detector.patch_scores(features)
    assert difference(patches.reshape(3, 2, 8, 10, 10), arrays["scores_by_degree_and_layer"]) <= 1e-5
    sets = {"": (features, IMAGES), "original_": (arrays["original_network_images_uint8"],)}
    for prefix, inputs in sets.items():
        for given in inputs:
            scores = detector.score_set(given)
            before = scores.map.max(axis=(1, 2))
            assert difference(scores.map, arrays[f"{prefix}anomaly_maps"]) <= 1e-5
            assert difference(before, arrays[f"{prefix}image_scores_before"]) <= 1e-5
            assert difference(scores.image, arrays[f"{prefix}image_scores"]) <= 1e-5


def lnamd(patches: np.ndarray, grid: tuple[int, int], degree: int) -> np.ndarray:
    """LNAMD by loops: (N, P, D) -> (N, P, D), of length 1."""
    x = patches.astype(np.float64).reshape(len(patches), *grid, -1)
    x = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + 1e-5)
    half = degree // 2
    padded = np.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    means = np.empty_like(x)
    for row, column in np.ndindex(grid):
        means[:, row, column] = padded[:, row : row + degree, column : column + degree].mean((1, 2))
    means = means.reshape(patches.shape)
    return means / np.linalg.norm(means, axis=-1, keepdims=True)


def rscin(scores: np.ndarray, embeddings: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """RsCIN with whole matrices, as the paper writes it."""
    scaled = (scores - scores.min()) / (scores.max() - scores.min())
    cosines, results = embeddings @ embeddings.T, []
    for number in numbers:
        smallest = np.sort(cosines, axis=1)[:, -number, None]
        window = np.where(cosines >= smallest, cosines, 0)
        results.append(window / window.sum(axis=1, keepdims=True) @ scaled)
    return np.mean(results, axis=0)


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_lnamd_equals_numpy_on_a_grid_that_is_not_square(degree: int):
    patches = RNG.standard_normal((2, 15, 6), np.float32) * 3 + 1
    found = np.array(aggregate(patches, (3, 5), degree))
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    assert difference(found, lnamd(patches, (3, 5), degree)) <= 2e-6


def test_rscin_equals_numpy():
    scores = RNG.uniform(1, 2, 12).astype(np.float32)
    embeddings = RNG.standard_normal((12, 5)) + 2
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    for numbers in ((1,), (1, 2, 3), (1, 8, 9), (12,)):
        found = rescored(scores, embeddings.astype(np.float32), numbers)
        assert difference(found, rscin(scores, embeddings, numbers)) <= 1e-6
    assert difference(rescored(scores, embeddings, (1,)), (scores - scores.min()) / np.ptp(scores)) <= 1e-6
    assert not rescored(np.full(12, 0.5, np.float32), embeddings, (1, 2)).any()  # no image stands out


def test_hyper_parameters_change_the_scores():
    embeddings = RNG.standard_normal((10, 16), np.float32) + 1
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    features = Features(embeddings, RNG.standard_normal((10, 64, 48), np.float32))
    base = shallow().score_together(features)
    for changed in ({"degrees": (3,)}, {"interval": (0.3, 0.9)}):
        assert difference(shallow(**changed).score_together(features).map, base.map) > 1e-3
    wider = shallow(image_neighbours=(1, 8, 9)).score_together(features)
    assert difference(wider.map, base.map) == 0
    assert difference(wider.image, base.image) > 1e-3
    removed = shallow().score_together(Features(*(x[1:] for x in features)))
    assert difference(removed.map, base.map[1:]) > 1e-4  # the others depend on the image that is gone


def test_any_backbone_has_an_embedding_for_rscin():
    """DINOv2 has no projection; what counts is the family's image embedding."""
    backbone = load_backbone(case("anomalydino").directory)
    later = map(layer_name, range(2, backbone.config.layers + 1))
    first = {part: backbone.params["vision"][part] for part in backbone.params["vision"].keys() - set(later)}
    config = dataclasses.replace(backbone.config, layers=1)
    backbone = dataclasses.replace(backbone, config=config, params={"vision": first})
    detector = dataclasses.replace(MuSc.for_backbone(backbone), degrees=(1,))
    images = RNG.integers(0, 256, (5, *detector.size, 3), np.uint8)
    embeddings = np.asarray(backbone.encode_image(images), np.float64)
    cosines = detector._extract(images).image @ embeddings.T / np.linalg.norm(embeddings, axis=1)
    assert difference(np.diag(cosines), np.ones(5)) <= 1e-5


def test_sets_that_are_too_small():
    images = np.zeros((9, 64, 64, 3), np.uint8)
    for count, changed, least in (
        (1, {}, 5),
        (4, {}, 5),
        (1, {"interval": (0.0, 1.0), "image_neighbours": (1,)}, 2),
        (8, {"image_neighbours": (1, 8, 9)}, 9),
    ):
        message = rf"musc scores .* a set of {count} is too small; give {least} or more"
        with pytest.raises(InputError, match=message):
            shallow(**changed).score_set(images[:count])
    with pytest.raises(InputError, match=r"images are .*; give uint8 images of 64 x 64 pixels"):
        shallow().score_set(images[:, :32])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"degrees": (1, 2)}, r"degrees \(1, 2\) have to be odd"),
        ({"degrees": ()}, "degrees"),
        ({"interval": (0.3, 0.3)}, "is not two ascending shares; give for example 0, 0.3"),
        ({"interval": (0.0, 30)}, "is not two ascending shares"),
        ({"image_neighbours": (0, 1)}, r"image_neighbours \(0, 1\) have to be 1 or more"),
        ({"feature_layers": (2,)}, "feature layer 2 does not fit this backbone; give 1 to 1"),
        ({"image_size": 65}, "image_size 65 is not divisible by the patch size"),
    ],
)
def test_settings_that_do_not_fit(changed: dict, message: str):
    with pytest.raises(InputError, match=message):
        shallow(**changed)


def test_settings():
    default = MuSc.for_backbone(golden_clip("musc"))
    assert default.setting == {
        "image_size": 64,
        "feature_layers": [3, 6, 9, 12],
        "degrees": [1, 3, 5],
        "interval": [0.0, 0.3],
        "image_neighbours": [1, 2, 3],
    }
    assert MuSc.with_setting(golden_clip("musc"), default.setting).setting == default.setting
