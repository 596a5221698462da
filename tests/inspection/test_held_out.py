"""A reference image is never scored by a memory that holds it."""

from pathlib import Path

import numpy as np
import pytest

from tests.inspection.brightness import SIDE, grey, scorer
from vlmad_jax import InputError
from vlmad_jax.inspection import held_out
from vlmad_jax.inspection.fit import ReferenceFiles
from vlmad_jax.inspection.held_out import ReferenceScores, augmented, fixed_scores, folds_of, held_out_scores
from vlmad_jax.inspection.stream import Key
from vlmad_jax.runtime.contents import digest

IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)


class Spy:
    """Prepares states that list the images they were made of, and records what is scored by them."""

    def __init__(self) -> None:
        self.memories: list[list[int]] = []
        self.scorer = scorer()
        self.scored: list[tuple[list[int], np.ndarray]] = []

    def prepare(self, canvases: np.ndarray) -> list[int]:
        memory = [k for k, image in enumerate(IMAGES) if (canvases == image).all((1, 2, 3)).any()]
        self.memories.append(memory)
        return memory

    def score(self, scorer: object, state: list[int], canvases: np.ndarray) -> ReferenceScores:
        self.scored.append((state, canvases))
        return ReferenceScores(*(np.arange(len(canvases), dtype=float) for _ in range(3)))


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    monkeypatch.setattr(held_out, "_scores", spy.score)
    return spy


def test_each_is_left_out_with_all_of_its_augmentations(spy: Spy):
    found = held_out_scores(spy.scorer, spy.prepare, IMAGES, augmentations=3, folds=5, seed=0)
    assert found.image.shape == (5, 4)
    assert spy.memories == [[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]
    for k, (memory, versions) in enumerate(spy.scored):
        assert k not in memory
        assert np.array_equal(versions[0], IMAGES[k])
        assert len(versions) == 4
        others = np.abs(versions[1:, None].astype(float) - IMAGES).mean(axis=(2, 3, 4))
        assert (others.argmin(axis=1) == k).all()  # its augmentations are of itself
        assert (others.min(axis=1) > 0).all()


def test_blocks_of_neighbours_are_left_out_together(spy: Spy):
    held_out_scores(spy.scorer, spy.prepare, IMAGES, augmentations=0, folds=2, seed=0)
    assert spy.memories == [[3, 4], [0, 1, 2]]
    assert [folds_of(*x) for x in ((5, 0), (16, 0), (300, 0), (300, 4), (3, 4))] == [5, 16, 16, 4, 3]


def test_a_single_image_is_scored_by_its_augmentations(spy: Spy):
    found = held_out_scores(spy.scorer, spy.prepare, IMAGES[:1], augmentations=3, folds=1, seed=0)
    assert found.image.shape == (1, 3)
    assert not any((versions == IMAGES[0]).all((1, 2, 3)).any() for _, versions in spy.scored)
    with pytest.raises(InputError, match=r"--augmentations=0: .*give 2 or more"):
        held_out_scores(spy.scorer, spy.prepare, IMAGES[:1], augmentations=0, folds=1, seed=0)


def test_numbers():
    levels = np.array([10, 20, 60], np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (3, SIDE, SIDE, 3))
    brightness = scorer()

    def prepare(canvases: np.ndarray) -> object:
        return brightness.model.detector.prepare("lamp", canvases)

    found = held_out_scores(brightness, prepare, images, 0, 3, 0)
    np.testing.assert_allclose(found.image[:, 0] * 255, [10 - 40, 20 - 35, 60 - 15], atol=1e-4)
    np.testing.assert_allclose(found.level, found.peak, atol=1e-6)
    fixed = fixed_scores(brightness, prepare(images[:1]), images, 0, 0)
    np.testing.assert_allclose(fixed.image[:, 0] * 255, [0, 10, 50], atol=1e-4)


def test_augmentations_are_slight_and_differ():
    ramp = np.broadcast_to(np.arange(0, 256, 2, dtype=np.uint8)[:, None], (128, 128))
    image = np.stack([ramp] * 3, axis=-1)
    rng = np.random.default_rng(0)
    first, second = augmented(image, rng), augmented(image, rng)
    assert (first.shape, first.dtype) == (image.shape, np.uint8)
    for version in (first, second):
        assert 1 < np.abs(version.astype(float) - image).mean() < 30
        assert np.abs(version[0].astype(float) - 0).mean() < 20  # the border is repeated, not blackened
    assert not np.array_equal(first, second)
    assert np.array_equal(first, augmented(image, np.random.default_rng(0)))


def test_reference_images_are_read_and_named(tmp_path: Path):
    for number, level in enumerate((10, 20, 10)):
        grey(level, tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("of good parts")
    files = ReferenceFiles.below(str(tmp_path))
    assert files.sizes == {Key(str(tmp_path / f"{k}.png")): (20, 10) for k in range(3)}
    references = files.read((SIDE, SIDE), workers=0)
    assert references.canvases[:, 0, 0, 0].tolist() == [10, 20]
    assert [(Path(path).name, error[:40]) for path, error in references.skipped] == [
        ("broken.png", "does not decode (cannot identify image f"),
        ("notes.txt", "is not an image by its name (.txt)"),
        ("2.png", f"is the same image as {tmp_path}/0.png"[:40]),
    ]
    assert list(references.thumbnails(files.sizes)) == ["references/0000.jpg", "references/0001.jpg"]
    pages = [grey(level) for level in (30, 40, 30)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    stack = str(tmp_path / "a.tif")
    files = ReferenceFiles.below(str(tmp_path))
    assert list(files.sizes)[-3:] != [Key(stack, k) for k in range(3)]  # by name, among the others
    references = files.read((SIDE, SIDE), workers=0)
    assert references.canvases[:, 0, 0, 0].tolist() == [10, 20, 30, 40]
    assert references.keys[2:] == [Key(stack, 0), Key(stack, 1)]
    assert references.skipped[-1] == (f"{stack} (image 2)", f"is the same image as {stack} (image 0)")
    assert references.files == {
        path: digest(path) for path in (*(str(tmp_path / f"{k}.png") for k in (0, 1)), stack)
    }
    with pytest.raises(InputError, match=r"--references=.*no image in it can be read \(.*notes.txt"):
        ReferenceFiles.below(str(tmp_path / "notes.txt")).read((SIDE, SIDE), workers=0)
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        ReferenceFiles.below(str(tmp_path / "nowhere"))
