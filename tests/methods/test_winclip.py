"""WinCLIP against anomalib, and what it promises whatever the numbers are."""

import functools

import jax
import numpy as np
import pytest

from tests.golden import case, difference, open_clip_directory, shallow_clip
from tests.methods.detectors import IMAGES, REFERENCES, apart, shallow_winclip, winclip
from vlmad_jax import WinCLIP, load_clip, windows
from vlmad_jax.clip import model

pytestmark = pytest.mark.usefixtures("as_people_run_it")
SCORES = 1e-5  # of the contract; measured: 2.4e-7
ALL_SIZES = (1, 2, 3, 4, 5, 6, 7)


@pytest.fixture(scope="module", params=["transformers", "open_clip"])
def make(request, tmp_path_factory):
    """Window sizes -> WinCLIP, on the backbone of either layout."""
    if request.param == "transformers":
        return winclip
    clip = load_clip(open_clip_directory(tmp_path_factory.mktemp("open_clip")))
    return functools.cache(lambda window_sizes: WinCLIP(clip, window_sizes))


@pytest.mark.parametrize("shots", ["zero", "few"])
def test_scores_and_maps(make, shots):
    detector = make((2, 3))
    state = detector.prepare("bottle", REFERENCES if shots == "few" else None)
    check_scores(detector.score(state, IMAGES), f"{shots}_shot", (2, 3))


def check_scores(scores, shots, window_sizes):
    arrays, sizes = case("winclip").arrays, "_".join(map(str, window_sizes))
    assert difference(scores.image, arrays[f"{shots}_scores_{sizes}"]) <= SCORES
    assert difference(scores.map, arrays[f"{shots}_maps_{sizes}"]) <= SCORES


def test_windows_of_all_sizes():
    """Embeddings of one picture at a time, as references are taken, and the scores made of them."""
    detector = winclip(ALL_SIZES)
    features = [detector._extract(IMAGES[number : number + 1]) for number in range(len(IMAGES))]
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *features)
    for size, embeddings in zip(ALL_SIZES, joined["windows"], strict=True):
        assert difference(embeddings, case("winclip").arrays[f"window_embeddings_{size}"]) <= 2e-5
    for shots, references in (("zero_shot", None), ("few_shot", REFERENCES)):
        state = detector.prepare("bottle", references)
        check_scores(jax.jit(detector.score_features)(state, joined), shots, ALL_SIZES)


def test_features_do_not_depend_on_whether_patches_are_asked_for():
    """The last layer of the whole picture is computed for the class token alone, or for all tokens."""
    detector = shallow_winclip()
    without, with_patches = (
        detector.clip.compile("vision", functools.partial(detector.extract, patches=patches))(IMAGES)
        for patches in (False, True)
    )
    assert set(with_patches) - set(without) == {"patches"}
    assert difference(without["image"], with_patches["image"]) <= 3e-6  # embeddings of size 5
    assert difference(without["windows"][0], with_patches["windows"][0]) <= 3e-6


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
    """One good picture more lengthens the memory and changes nothing before."""
    detector = winclip()
    state = detector.prepare("bottle", REFERENCES)
    memory = {"patches": (2 * 64, 128), "windows": ((2 * 49, 48), (2 * 36, 48))}
    assert jax.tree.map(np.shape, state) == {"text": (2, 48), "memory": memory}
    first = detector.prepare("bottle", REFERENCES[:1])["memory"]
    for one, both in zip(jax.tree.leaves(first), jax.tree.leaves(state["memory"]), strict=True):
        np.testing.assert_array_equal(one, both[: len(both) // 2])


def test_a_good_sample_is_no_distance_from_itself():
    detector = shallow_winclip()
    pictures = REFERENCES[[0, 1, 0]]
    with_itself = detector.score(detector.prepare("bottle", REFERENCES), pictures)
    zero_shot = detector.score(detector.prepare("bottle"), pictures)
    assert difference(with_itself.image, zero_shot.image / 2) <= 1e-6
    assert difference(with_itself.map, zero_shot.map / 2) <= 1e-6


def test_pictures_do_not_see_each_other():
    """Alone, or in another order and with a black one, a picture's score stays the same."""
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
    detector = winclip()
    state = detector.prepare("bottle", references)
    leaves, structure = jax.tree.flatten(state)
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz") as saved:
        restored = jax.tree.unflatten(structure, [saved[name] for name in saved.files])
    assert apart(detector.score(state, IMAGES), detector.score(restored, IMAGES)) == 0
