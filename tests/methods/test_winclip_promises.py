"""WinCLIP's invariants."""

import functools

import jax
import numpy as np
import pytest

from tests.golden import difference, shallow_clip
from tests.methods.detectors import IMAGES, REFERENCES, apart, shallow_winclip
from vlmad_jax import WinCLIP
from vlmad_jax.backbones import clip as model
from vlmad_jax.methods.winclip import Memory, State
from vlmad_jax.scoring import windows


def test_features_do_not_depend_on_the_choice_of_patches():
    """The last layer of the whole image is computed for the class token alone, or for all tokens."""
    detector = shallow_winclip()
    without, with_patches = (
        detector.clip.compile("vision", functools.partial(detector.extract, patches=patches))(IMAGES)
        for patches in (False, True)
    )
    assert without.patches is None
    assert difference(without.image, with_patches.image) <= 3e-6  # embeddings of size 5
    assert difference(without.windows[0], with_patches.windows[0]) <= 3e-6


def shapes(state):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), state)


@pytest.mark.parametrize("references", [None, REFERENCES], ids=["zero-shot", "few-shot"])
def test_all_categories_share_one_program(compilations, references):
    detector = WinCLIP(shallow_clip("winclip"), window_sizes=(3,))
    others = None if references is None else references[::-1, ::-1]
    bottle, nut = detector.prepare("bottle", references), detector.prepare("metal nut", others)
    assert shapes(nut) == shapes(bottle)
    del compilations[:]
    scores = detector.score(bottle, IMAGES)
    assert len(compilations) == 1
    other_scores = detector.score(nut, IMAGES[::-1])
    assert len(compilations) == 1
    assert difference(scores.image, other_scores.image) > 1e-3


def test_state_of_references():
    """A further reference image lengthens the memory and changes nothing else in it."""
    detector = WinCLIP(shallow_clip("winclip"))
    state = detector.prepare("bottle", REFERENCES)
    memory = Memory((2 * 64, 128), ((2 * 49, 48), (2 * 36, 48)))
    assert jax.tree.map(np.shape, state) == State((2, 48), memory)
    first = detector.prepare("bottle", REFERENCES[:1]).memory
    for one, both in zip(jax.tree.leaves(first), jax.tree.leaves(state.memory), strict=True):
        np.testing.assert_array_equal(one, both[: len(both) // 2])


def test_a_reference_has_distance_zero_from_itself():
    detector = shallow_winclip()
    images = REFERENCES[[0, 1, 0]]
    with_itself = detector.score(detector.prepare("bottle", REFERENCES), images)
    zero_shot = detector.score(detector.prepare("bottle"), images)
    assert difference(with_itself.image, zero_shot.image / 2) <= 1e-6
    assert difference(with_itself.map, zero_shot.map / 2) <= 1e-6


def test_images_are_independent():
    """An image has the same score alone, in another order and with a black image."""
    detector = shallow_winclip()
    state = detector.prepare("bottle", REFERENCES)
    scores = detector.score(state, IMAGES)
    others = detector.score(state, np.stack([IMAGES[2], np.zeros((64, 64, 3), np.uint8), IMAGES[0]]))
    assert apart(jax.tree.map(lambda x: x[::-2], scores), jax.tree.map(lambda x: x[::2], others)) <= 1e-6
    alone = detector.score(state, IMAGES[1:2])
    assert apart(jax.tree.map(lambda x: x[1:2], scores), alone) <= 1e-6


def test_chunks_of_windows_change_nothing(monkeypatch):
    state = shallow_winclip().prepare("bottle", REFERENCES)
    scores = shallow_winclip().score(state, IMAGES)
    monkeypatch.setattr(windows, "chunk_tokens", lambda: 150)  # 5 of the 36 windows at a time
    chunked = WinCLIP(shallow_clip("winclip"), (3,))
    assert apart(scores, chunked.score(state, IMAGES)) <= 1e-6


def test_weights_as_arguments_give_the_scores_of_weights_as_constants(monkeypatch):
    constants = shallow_winclip()
    state = constants.prepare("bottle", REFERENCES)
    scores = constants.score(state, IMAGES)
    other = "tpu" if jax.default_backend() == "cpu" else "cpu"
    monkeypatch.setattr(model.jax, "default_backend", lambda: other)
    arguments = WinCLIP(shallow_clip("winclip"), (3,))
    assert isinstance(arguments._score, functools.partial) != isinstance(constants._score, functools.partial)
    assert apart(scores, arguments.score(state, IMAGES)) <= 1e-6


@pytest.mark.parametrize("references", [None, REFERENCES], ids=["zero-shot", "few-shot"])
def test_a_saved_state_gives_equal_scores(tmp_path, references):
    detector = shallow_winclip()
    state = detector.prepare("bottle", references)
    leaves, structure = jax.tree.flatten(state)
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz") as saved:
        restored = jax.tree.unflatten(structure, [saved[name] for name in saved.files])
    assert apart(detector.score(state, IMAGES), detector.score(restored, IMAGES)) == 0
