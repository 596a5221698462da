"""The encoders against the published implementations, on their own checkpoints."""

import jax
import numpy as np
import pytest

from tests.golden import case, difference, golden_clip, open_clip_directory
from vlmad_jax import CLIP, load_clip
from vlmad_jax.backbones.tokenizer import tokenize

pytestmark = pytest.mark.usefixtures("as_people_run_it")
EMBEDDINGS = 2e-5  # of the contract; measured: 1e-6 to 6e-6


@pytest.fixture(scope="module", params=["transformers", "open_clip"])
def winclip(request, tmp_path_factory) -> CLIP:
    """WinCLIP's backbone from each layout."""
    if request.param == "transformers":
        return golden_clip("winclip")
    return load_clip(open_clip_directory(tmp_path_factory.mktemp("open_clip")))


def run_vision(clip: CLIP, function, position_resize: str = "bicubic"):
    """Return the compiled `function(vision, *arguments)` with a bound vision transformer."""
    vision = clip.vision(position_resize)
    return clip.compile("vision", lambda variables, *arguments: function(vision.bind(variables), *arguments))


def padded(token_ids: np.ndarray, length: int = 77) -> np.ndarray:
    return np.pad(token_ids, ((0, 0), (0, length - token_ids.shape[1])))


def test_image_embeddings(winclip):
    arrays = case("winclip").arrays
    assert difference(winclip.encode_image(arrays["images_uint8"]), arrays["image_embeddings"]) <= EMBEDDINGS


def test_patch_embeddings(winclip):
    arrays = case("winclip").arrays
    patches = run_vision(winclip, lambda vision, x: vision.norm(vision.transform(vision.embed(x))[0][:, 1:]))
    assert difference(patches(arrays["images_uint8"]), arrays["patch_embeddings"]) <= EMBEDDINGS


def test_text_embeddings(winclip):
    _, arrays, setting = case("winclip")
    means = [winclip.encode_text(setting[f"{kind}_prompts"]).mean(axis=0) for kind in ("normal", "anomalous")]
    assert difference(np.stack(means), arrays["text_embeddings"]) <= EMBEDDINGS


@pytest.mark.parametrize("name", ["winclip", "april_gan"])
def test_token_ids(name):
    _, arrays, setting = case(name)
    for kind in ("normal", "anomalous"):
        token_ids = tokenize(golden_clip(name).tokenizer, setting[f"{kind}_prompts"], 77)
        np.testing.assert_array_equal(padded(token_ids), arrays[f"{kind}_token_ids"])


def test_token_ids_of_learned_prompts():
    _, arrays, setting = case("anomalyclip")
    token_ids = tokenize(golden_clip("anomalyclip").tokenizer, setting["prompt_texts"], 77)
    np.testing.assert_array_equal(padded(token_ids), arrays["tokenized_prompts"])


def test_image_features_without_the_last_norm_on_a_larger_grid():
    """Images of 96 pixels in a model of 64 need bilinear positions; tokens are projected without the norm."""
    arrays = case("anomalyclip").arrays

    def features(vision, images):
        hidden, _ = vision.transform(vision.embed(images), class_only=True)
        return vision.project_unnormed(hidden[:, 0])

    clip = golden_clip("anomalyclip")
    assert clip.config.vision.image_size == 64
    expected = arrays["plain_image_features_no_ln_post"]
    bilinear = run_vision(clip, features, "bilinear")(arrays["images_uint8"])
    assert difference(bilinear, expected) <= EMBEDDINGS
    # The other way to resize positions is far from it: the test tells them apart.
    bicubic = run_vision(clip, features, "bicubic")(arrays["images_uint8"])
    assert difference(bicubic, expected) > 1e-2


def test_residual_streams():
    """The tokens of the first image after each layer that the published code uses."""
    _, arrays, setting = case("april_gan")
    streams = run_vision(golden_clip("april_gan"), lambda vision, x: vision.transform(vision.embed(x))[1])
    intermediates = streams(arrays["images_uint8"])
    assert sorted(intermediates) == [f"layer{n:02d}" for n in range(1, 13)]
    for i, layer in enumerate(setting["feature_layers"]):
        stream = intermediates[f"layer{layer:02d}"][0]
        assert difference(stream, arrays[f"hidden_state_{i}"]) <= EMBEDDINGS


def test_class_token_alone_gives_the_same_numbers():
    clip, images = golden_clip("winclip"), case("winclip").arrays["images_uint8"]

    def embed(class_only):
        def encode(vision, images):
            hidden, _ = vision.transform(vision.embed(images), class_only=class_only)
            return vision.project(hidden[:, 0])

        return run_vision(clip, encode)(images)

    # Other shapes of products are summed in another order: 1e-6 of embeddings of size 1 to 3.
    assert difference(embed(True), embed(False)) <= 3e-6
    assert jax.numpy.abs(embed(True)).max() > 1
