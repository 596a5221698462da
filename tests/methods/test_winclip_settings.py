"""WinCLIP's settings, and invalid input."""

import functools

import jax
import numpy as np
import pytest

from tests.golden import difference, golden_clip, shallow_clip
from tests.methods.detectors import IMAGES, REFERENCES, winclip
from vlmad_jax import InputError, WinCLIP
from vlmad_jax.methods import METHODS, MethodOptions, method
from vlmad_jax.methods.winclip import State
from vlmad_jax.scoring.prompts import PromptEnsemble


def probability(embeddings: np.ndarray, text: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probability of the anomalous text with NumPy: (B, E), (2, E) -> (B,)."""
    embeddings, text = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (embeddings, text))
    normal, anomalous = np.exp(embeddings @ text.T / temperature).T
    return anomalous / (normal + anomalous)


@pytest.mark.parametrize(("size", "grid"), [(96, 12), (56, 7)])
def test_images_of_another_size(size, grid):
    """A larger grid, and a smaller one; the map has the images' size."""
    clip = shallow_clip("winclip")
    detector = WinCLIP(clip, window_sizes=(3,), image_size=size)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    state = detector.prepare("bottle")
    scores = detector.score(state, images)
    assert detector.grid == (grid, grid)
    assert scores.map.shape == (2, size, size)
    expected = probability(np.asarray(clip.encode_image(images)), np.asarray(state.text), 0.07)
    assert difference(scores.image, expected) <= 1e-6


def test_every_setting_changes_the_scores():
    clip = shallow_clip("winclip")
    prompts = PromptEnsemble(("{}",), ("damaged {}",), ("a photo of a {}.",))
    detectors = (WinCLIP(clip), WinCLIP(clip, (3,)), WinCLIP(clip, (3,), temperature=0.01))
    scores = [detector.score(detector.prepare("bottle"), IMAGES) for detector in detectors]
    scores.append(detectors[0].score(WinCLIP(clip, prompts=prompts).prepare("bottle"), IMAGES))
    for i, one in enumerate(scores):
        for other in scores[i + 1 :]:
            assert difference(one.map, other.map) > 1e-3


def test_published_setting():
    published = WinCLIP.paper(golden_clip("winclip"))
    assert (published.window_sizes, published.size, published.temperature) == ((2, 3), (64, 64), 0.07)


def test_nothing_is_learned():
    assert winclip().init(jax.random.key(0)) == {}
    assert winclip().prepare("bottle", params={}).memory is None


def refusal(function, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("window_sizes", "message"),
    [
        ((), "no window size; give at least one, for example 2,3"),
        ((2, 3, 2), "window sizes (2, 3, 2) repeat; give each once"),
        ((2, 9), "window size 9 does not fit a grid of 8 x 8 patches; give sizes from 1 to 8, or larger"),
        ((0,), "window size 0 does not fit a grid of 8 x 8 patches"),
    ],
)
def test_window_sizes_that_are_refused(window_sizes, message):
    assert refusal(WinCLIP, golden_clip("winclip"), window_sizes).startswith(message)


def test_options_beyond_the_paper_are_in_the_setting_if_used():
    clip = golden_clip("winclip")
    published = {"window_sizes": [2, 3], "image_size": 64, "temperature": 0.07}
    assert WinCLIP(clip).setting == published
    beyond = WinCLIP(clip, window_stride=2, merge_tokens=1, multi_scale_sizes=(32, 48))
    assert beyond.setting == published | {
        "window_stride": 2,
        "merge_tokens": 1,
        "multi_scale_sizes": [32, 48],
    }
    for setting in (published, beyond.setting):
        assert WinCLIP.with_setting(clip, setting).setting == setting


def test_the_stride_of_memory_and_map():
    detector = WinCLIP(shallow_clip("winclip"), (3,), window_stride=2)
    state = detector.prepare("bottle", REFERENCES[:1])
    assert [len(x) for x in state.memory.windows] == [4**2]  # of 6 x 6
    scores = detector.score(state, IMAGES[:2])
    assert scores.map.shape == (2, 64, 64)
    assert np.isfinite(scores.map).all()


def test_multi_scale_sizes():
    """The image score is that of the mean of unit embeddings; windows and patches are unchanged."""
    clip, images = shallow_clip("winclip"), IMAGES[:2]
    detector, plain = WinCLIP(clip, (3,), multi_scale_sizes=(32, 80)), WinCLIP(clip, (3,))
    encode = jax.jit(lambda batch: clip.vision().apply({"params": clip.params["vision"]}, batch)[0])
    views = [np.asarray(clip.encode_image(images))]
    for size in (32, 80):
        resized = jax.image.resize(images.astype(np.float32), (len(images), size, size, 3), "cubic")
        views.append(np.asarray(encode(resized.clip(0, 255))))
    mean = np.mean([x / np.linalg.norm(x, axis=-1, keepdims=True) for x in views], axis=0)
    zero_shot, few_shot = (
        clip.compile("vision", functools.partial(detector.extract, patches=patches))(images)
        for patches in (False, True)
    )
    without = clip.compile("vision", functools.partial(plain.extract, patches=True))(images)
    for found in (zero_shot, few_shot):
        assert difference(found.image[:, 0], mean) <= 3e-6
        assert difference(found.windows[0], without.windows[0]) <= 3e-6
    assert difference(few_shot.patches, without.patches) <= 3e-6
    text = plain.text_features("bottle")
    words = probability(mean, np.asarray(text), 0.07)
    assert difference(detector.score_features(State(text), zero_shot).image, words) <= 1e-6
    assert difference(words, probability(views[0], np.asarray(text), 0.07)) > 1e-3


def test_tokens_are_merged_if_only_the_class_token_is_used():
    """In windows always, and in the whole image if its patches are not compared."""
    clip = shallow_clip("winclip", 2)
    detector, exact = WinCLIP(clip, (3,), merge_tokens=4), WinCLIP(clip, (3,))
    zero_shot, few_shot = (
        clip.compile("vision", functools.partial(detector.extract, patches=patches))(IMAGES)
        for patches in (False, True)
    )
    windows = clip.compile("vision", functools.partial(exact.extract, patches=True))(IMAGES).windows[0]
    assert difference(zero_shot.windows[0], windows) > 0.1  # embeddings of size 5
    assert difference(zero_shot.windows[0], few_shot.windows[0]) <= 3e-6
    whole = clip.encode_image(IMAGES)
    assert difference(few_shot.image[:, 0], whole) <= 3e-6
    assert difference(zero_shot.image[:, 0], whole) > 0.02


def test_the_suggested_multi_scale_size_is_valid():
    """Also for a grid with an odd side, here 5."""
    refused = refusal(WinCLIP, golden_clip("winclip"), image_size=40, multi_scale_sizes=(20,))
    assert refused.endswith("give for example 16")
    WinCLIP(golden_clip("winclip"), image_size=40, multi_scale_sizes=(16,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_stride": 3}, "window stride 3 does not cover every patch with windows of 2 x 2; give 1 to"),
        ({"window_stride": 0}, "window stride 0 does not cover every patch"),
        ({"merge_tokens": -1}, "merge_tokens -1 is below 0; give 0 to merge none"),
        (
            {"multi_scale_sizes": (44,)},
            "multi-scale size 44 is not a multiple of the patch size of 8 pixels",
        ),
        ({"multi_scale_sizes": (0,)}, "multi-scale size 0 is not a multiple"),
        (
            {"multi_scale_sizes": (32, 48, 32)},
            "multi-scale sizes (32, 48, 32) repeat, or include the image size 64",
        ),
        ({"multi_scale_sizes": (32, 64)}, "multi-scale sizes (32, 64) repeat, or include the image size 64"),
    ],
)
def test_invalid_options_raise(options, message):
    assert refusal(WinCLIP, golden_clip("winclip"), **options).startswith(message)
    (name, given), chosen = *options.items(), MethodOptions(window_sizes=(3, 2), **options)
    refused = refusal(WinCLIP.from_options, golden_clip("winclip"), chosen)
    value = ",".join(map(str, given)) if isinstance(given, tuple) else given
    assert refused.startswith(f"--window_sizes=3,2 --{name}={value}: ")


WRONG_IMAGES = [
    (np.zeros((2, 64, 64, 3), np.float32), "float32 [2, 64, 64, 3]"),
    (np.zeros((2, 3, 64, 64), np.uint8), "uint8 [2, 3, 64, 64]"),
    (np.zeros((64, 64, 3), np.uint8), "uint8 [64, 64, 3]"),
    (np.zeros((2, 96, 96, 3), np.uint8), "uint8 [2, 96, 96, 3]"),
    (np.zeros((0, 64, 64, 3), np.uint8), "uint8 [0, 64, 64, 3]"),
]
REMEDY = "give uint8 images of 64 x 64 pixels, [B, 64, 64, 3]"


@pytest.mark.parametrize(("images", "seen"), WRONG_IMAGES, ids=[seen for _, seen in WRONG_IMAGES])
def test_images_of_another_kind(images, seen):
    state = winclip().prepare("bottle")
    assert refusal(winclip().score, state, images) == f"images are {seen}; {REMEDY}"
    assert refusal(winclip().prepare, "bottle", images) == f"references are {seen}; {REMEDY}"


def test_parameters_raise():
    message = refusal(winclip().prepare, "bottle", REFERENCES, {"normal": np.zeros(3)})
    assert message == "winclip learns no parameters but got normal; remove them"


def test_methods_by_name():
    assert all(kind.name == name for name, kind in METHODS.items())
    made, params = method("winclip").from_options(winclip().clip, MethodOptions(window_sizes=(3,)))
    assert isinstance(made, WinCLIP)
    assert (made.window_sizes, params) == ((3,), {})
    refused = refusal(method("winclip").from_options, winclip().clip, MethodOptions(params="a.pth"))
    assert refused == "--params is not an option of winclip; remove it"
    refused = refusal(method("anomalyclip").from_options, winclip().clip, MethodOptions(window_sizes=(2,)))
    assert refused == "--window_sizes is not an option of anomalyclip; remove it"
    refused = refusal(method("anomalyclip").from_options, winclip().clip, MethodOptions())
    assert refused.startswith("--params is missing: anomalyclip needs learned prompts; train some")
    choices = ", ".join(METHODS)
    assert refusal(method, "winklip") == f"method 'winklip' is not one of {choices}; give one of these"
