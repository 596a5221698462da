"""CoOp: prompts with a learned context, their comparison with images and patches, and the loss."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import softmax

from tests.golden import case, difference, shallow_clip
from vlmad_jax import CoOp, InputError, Scores
from vlmad_jax.methods import coop

IMAGES = case("winclip").arrays["images_uint8"]  # (3, 64, 64, 3)
WORDS = "a photo of a"


@functools.cache
def detector() -> CoOp:
    return CoOp(shallow_clip("winclip", 2), image_size=64, context_length=len(word_ids()))


@functools.cache
def word_ids() -> list[int]:
    """The tokens of `WORDS`, without start and end."""
    return shallow_clip("winclip", 2).tokenizer([WORDS])["input_ids"][0][1:-1]


@functools.cache
def params() -> dict[str, jax.Array]:
    """A context of the embeddings of `WORDS`."""
    table = shallow_clip("winclip", 2).params["text"]["token_embedding"]
    return {"context": jnp.asarray(table, jnp.float32)[np.array(word_ids())]}


@functools.cache
def scores() -> Scores:
    return detector().score(detector().prepare("metal nut", params=params()), IMAGES)


def cosines(features: np.ndarray, text: np.ndarray) -> np.ndarray:
    """(..., E), (2, E) -> (..., 2), in float64."""
    features, text = np.asarray(features, np.float64), np.asarray(text, np.float64)
    features = features / np.linalg.norm(features, axis=-1, keepdims=True)
    return features @ (text / np.linalg.norm(text, axis=-1, keepdims=True)).T


def test_a_context_of_known_words_is_the_sentence():
    text = detector().prepare("metal nut", params=params()).text
    sentences = [f"{WORDS} flawless metal nut.", f"{WORDS} damaged metal nut."]
    assert difference(text, shallow_clip("winclip", 2).encode_text(sentences)) <= 2e-5


def test_scores_are_the_softmax_of_scaled_cosines():
    clip = shallow_clip("winclip", 2)
    text = clip.encode_text([f"{WORDS} flawless metal nut.", f"{WORDS} damaged metal nut."])
    scale = np.exp(np.float64(clip.params["logit_scale"]))
    expected = softmax(scale * cosines(clip.encode_image(IMAGES), text), axis=-1)[..., 1]
    np.testing.assert_allclose(scores().image, expected, atol=1e-5)
    patches = detector().extract({"params": clip.params["vision"]}, jnp.asarray(IMAGES)).patches
    grid = softmax(scale * cosines(patches, text), axis=-1)[..., 1].reshape(3, 8, 8)
    upsampled = jax.image.resize(jnp.asarray(grid, jnp.float32), (3, 64, 64), "linear", antialias=False)
    assert difference(scores().map, upsampled) <= 1e-5


def test_the_loss_and_its_gradient():
    """The cross-entropy of each image with the prompts of its own class, which trains the context alone."""
    context = detector().context(["bottle", "metal nut"])
    labels, classes = np.array([0, 1, 1]), np.array([1, 0, 1])
    batch = {"image": jnp.asarray(IMAGES), "label": jnp.asarray(labels), "class_id": jnp.asarray(classes)}
    run = jax.jit(jax.value_and_grad(detector().loss, has_aux=True))
    (loss, parts), gradient = run(params(), context, batch)
    clip = shallow_clip("winclip", 2)
    scale = np.exp(np.float64(clip.params["logit_scale"]))
    terms = []
    for image, label, number in zip(np.asarray(clip.encode_image(IMAGES)), labels, classes, strict=True):
        name = ("bottle", "metal nut")[number]
        text = clip.encode_text([f"{WORDS} flawless {name}.", f"{WORDS} damaged {name}."])
        terms.append(-np.log(softmax(scale * cosines(image, text)))[label])
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-4)
    np.testing.assert_allclose(parts["image"], loss)
    assert gradient.keys() == {"context"}
    # A finite difference along the gradient equals the gradient's length.
    direction = gradient["context"] / jnp.linalg.norm(gradient["context"])
    step = 1e-2
    ahead, behind = (
        run({"context": params()["context"] + sign * step * direction}, context, batch)[0][0]
        for sign in (1, -1)
    )
    slope = float(jnp.linalg.norm(gradient["context"]))
    np.testing.assert_allclose(
        (ahead - behind) / (2 * step), slope, rtol=2e-2
    )  # of a curved loss, in float32
    features = detector().extract(context.vision, batch["image"])
    cached, _ = detector().loss(params(), context, {**batch, "features": features})
    np.testing.assert_allclose(cached, loss, rtol=1e-5)


def test_training_separates_images():
    context = detector().context(["bottle"])
    features = detector().extract(context.vision, jnp.asarray(IMAGES))
    batch = {"features": features, "label": jnp.array([0, 1, 1]), "class_id": jnp.zeros(3, jnp.int32)}
    optimizer = optax.adam(3e-2)
    learned = detector().init(jax.random.key(0))
    assert {name: x.shape for name, x in learned.items()} == detector().shapes
    state = optimizer.init(learned)
    gradient = jax.jit(jax.grad(lambda p: detector().loss(p, context, batch)[0]))
    before = detector().loss(learned, context, batch)[0]
    for _ in range(60):
        updates, state = optimizer.update(gradient(learned), state)
        learned = optax.apply_updates(learned, updates)
    assert detector().loss(learned, context, batch)[0] < 0.5 * before


def test_the_authors_file(monkeypatch, tmp_path):
    learner = {"ctx": np.asarray(params()["context"]), "token_prefix": np.zeros((2, 1, 64))}
    monkeypatch.setattr(coop, "read_torch_file", lambda path: {"state_dict": learner, "epoch": 50})
    loaded = detector().load_params(tmp_path / "model.pth")
    np.testing.assert_array_equal(loaded["context"], learner["ctx"])
    learner["ctx"] = np.zeros((2, 4, 64))  # one for each class
    with pytest.raises(InputError, match=r"expected an entry state_dict with ctx \(n, D\)"):
        detector().load_params(tmp_path / "model.pth")


def test_unsupported_input_raises():
    with pytest.raises(InputError, match="coop takes no reference images; use"):
        detector().prepare("nut", IMAGES, params())
    with pytest.raises(InputError, match="coop needs a learned context"):
        detector().prepare("nut")
    with pytest.raises(InputError, match="context_length 66 does not fit this backbone; give 1 to 65"):
        dataclasses.replace(detector(), context_length=66)
    with pytest.raises(InputError, match="image_size 7 does not fit"):
        dataclasses.replace(detector(), image_size=7)
    assert CoOp.for_backbone(shallow_clip("winclip", 2)).setting == {"image_size": 64, "context_length": 16}
