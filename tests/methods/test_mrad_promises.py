"""MRAD beyond the authors' numbers: its equations in NumPy, memory, files, training and bad input."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.backbones.siglip_files import write_siglip
from tests.data.conftest import make_category
from tests.experiments.command import here
from tests.golden import case, difference, shallow_clip
from tests.methods.test_authors_files import pickled
from vlmad_jax import MRAD, InputError, load_backbone, load_clip
from vlmad_jax.evaluation.keys import params_fingerprint
from vlmad_jax.methods import MethodOptions
from vlmad_jax.methods.detector import Features, Params, by_name
from vlmad_jax.methods.learned import save_params
from vlmad_jax.methods.mrad import decided_patches
from vlmad_jax.scoring import retrieval
from vlmad_jax.scoring.retrieval import Head, Memory, retrieve
from vlmad_jax.training.train import TrainConfig, train_method

RNG = np.random.default_rng(0)


def unit(*shape: int) -> np.ndarray:
    rows = RNG.normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@functools.cache
def detector() -> MRAD:
    """On a CLIP of one layer, width 128 and embeddings of 48 numbers, with 8 x 8 patches."""
    return MRAD.for_backbone(shallow_clip("winclip"))


@functools.cache
def params() -> Params:
    width, embedding = detector().clip.config.vision.width, detector().clip.config.embed_dim
    values = np.eye(2, dtype=np.float32)
    memory = {
        "patch_keys": unit(5, width),
        "patch_values": values[[0, 1, 1, 0, 0]],
        "image_keys": unit(3, embedding),
        "image_values": values[[0, 1, 1]],
    }
    return jax.tree.map(np.asarray, detector().init(jax.random.key(0))) | {"memory": memory}


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_retrieval_equals_numpy_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys above the quantile of a query's cosines are dropped, and chunks change nothing."""
    keys, rows, values = unit(11, 6), unit(2, 9, 6), np.eye(2, dtype=np.float32)[RNG.integers(0, 2, 11)]
    head = {"kernel": RNG.normal(size=(6, 4)).astype(np.float32), "bias": np.ones(4, np.float32)}
    mapped = RNG.normal(size=(11, 4)).astype(np.float32)

    def total(head: Head) -> tuple[jax.Array, jax.Array]:
        found = retrieve(jnp.asarray(rows), Memory(mapped, values, head), keys, 0.8)
        return (found[..., 1] ** 2).sum(), found

    def compute() -> tuple[jax.Array, Head]:
        (_, found), gradient = jax.jit(jax.value_and_grad(lambda head: total(head), has_aux=True))(head)
        return found, gradient

    whole, gradient = compute()
    cosines, logits = rows @ keys.T, (rows @ head["kernel"] + 1) @ mapped.T
    kept = cosines <= np.quantile(cosines, 0.8, axis=-1, keepdims=True)
    assert (kept.sum(axis=-1) == 9).all()
    weights = np.where(kept, np.exp(logits), 0)
    assert difference(whole, weights / weights.sum(axis=-1, keepdims=True) @ values) <= 1e-6
    monkeypatch.setattr(retrieval, "LARGEST_BUFFER", 4 * 11)  # four rows together
    parts, in_parts = compute()
    assert difference(parts, whole) <= 1e-6
    assert difference(in_parts["kernel"], gradient["kernel"]) <= 1e-5


def test_keys_are_means_of_the_patches_that_a_mask_decides() -> None:
    """The middle pixels of a patch of eight decide, and images without one kind have no key of it."""
    width, mask = detector().clip.config.vision.width, np.zeros((4, 64, 64), np.uint8)
    mask[0, 3:5, 3:13] = 1  # the middles of the first two patches
    mask[1, 3, 3:13] = 1  # half of them: neither
    mask[2] = 1
    patches, image = RNG.normal(size=(4, 64, width)).astype(np.float32), unit(4, 48)
    batch = {"features": Features(2 * image, patches), "mask": mask, "label": np.array([1, 1, 1, 0])}
    found = detector().memory(batch)
    groups = [patches[0, :2], patches[0, 2:], patches[1, 2:], patches[2], patches[3]]
    means = np.stack([group.mean(axis=0) for group in groups])
    assert difference(found["patch_keys"], means / np.linalg.norm(means, axis=1, keepdims=True)) <= 1e-6
    np.testing.assert_array_equal(found["patch_values"][:, 1], [1, 0, 0, 1, 0])
    assert difference(found["image_keys"], image) <= 1e-6
    np.testing.assert_array_equal(found["image_values"][:, 1], [1, 1, 1, 0])


@pytest.mark.parametrize(("side", "grid"), [(518, 37), (336, 24), (240, 15), (96, 32), (77, 11)])
def test_whole_patches_are_decided_at_any_size(side: int, grid: int) -> None:
    mask = np.zeros((1, side, side), np.uint8)
    mask[:, side // grid : -(side // grid)] = 1
    anomalous, normal = np.asarray(decided_patches(mask, (grid, grid)))[0].reshape(2, grid, grid)
    assert anomalous[1:-1].all()
    assert normal[[0, -1]].all()
    assert (anomalous ^ normal).all()


def test_a_folder_has_the_heads_and_the_memory(tmp_path: Path) -> None:
    """Parameters survive saving, and any number of them changes what results are kept under."""
    for number, saved in enumerate((params(), {"memory": params()["memory"]})):
        folder = tmp_path / str(number)
        save_params(folder, saved, detector())
        again, loaded = MRAD.from_options(detector().clip, MethodOptions(params=str(folder)))
        assert again.setting == detector().setting
        jax.tree.map(np.testing.assert_array_equal, loaded, saved)
        assert params_fingerprint(loaded) == params_fingerprint(saved)
    prints = {params_fingerprint(params())}
    for name in by_name(params()):
        head, leaf = name.split(".")
        changed = {**params(), head: {**params()[head], leaf: params()[head][leaf] + 1}}
        prints.add(params_fingerprint(changed))
    assert len(prints) == 1 + len(by_name(params()))


def test_parameters_that_do_not_fit() -> None:
    heads = {name: x for name, x in params().items() if name != "memory"}
    assert refusal(detector().prepare, "nut", None, heads).startswith(
        "the parameters are heads without the memory of an auxiliary data set; add the one that MRAD.memory"
    )
    assert "mrad needs the memory of an auxiliary data set; give" in refusal(detector().prepare, "nut")
    short = {"memory": {**params()["memory"], "image_values": np.zeros((2, 2))}}
    message = refusal(detector().prepare, "nut", None, short)
    assert "memory.image_values (3, 2), found" in message
    assert "memory.image_values (2, 2); give parameters trained with this backbone" in message
    half = {"memory": params()["memory"], "patch_key": heads["patch_key"]}
    assert "expected patch_query.kernel (128, 48)" in refusal(detector().prepare, "nut", None, half)


def test_files_of_other_training(tmp_path: Path) -> None:
    path = pickled(tmp_path / "a.pth", "patch_proj", {"fc.0.weight": np.zeros((2, 2))})
    assert refusal(detector().load_params, path) == (
        f"{path}: expected the entries patch_proj with fc.0 and fc.1, and image_proj with mlp1 and mlp2, "
        "found epoch, patch_proj; give a checkpoint of MRAD's training"
    )
    path = case("mrad").directory / "mrad_ft.pth"
    message = refusal(MRAD.for_backbone(load_clip("tiny")).load_params, path)
    assert message.startswith(f"{path}: expected patch_query.kernel (192, 128)")
    assert "found patch_query.kernel (128, 48)" in message


def test_siglip(tmp_path: Path) -> None:
    """Without a class token, the image feature is the backbone's own embedding."""
    siglip = load_backbone(write_siglip(tmp_path))
    made, images = MRAD.for_backbone(siglip), RNG.integers(0, 256, (2, 32, 32, 3), np.uint8)
    mask = np.stack([np.zeros((32, 32), np.uint8), np.ones((32, 32), np.uint8)])
    memory = made.memory({"image": images, "mask": mask, "label": np.array([0, 1])})
    embeddings = np.asarray(siglip.encode_image(images))
    assert (
        difference(memory["image_keys"], embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
        <= 1e-5
    )
    features = jax.tree.map(lambda x: x[:2], made._extract(np.resize(images, (8, 32, 32, 3))))
    scores = jax.jit(made.score_features)(made.prepare(params={"memory": memory}), features)
    assert scores.image[1] > scores.image[0]
    assert scores.map[1].mean() > scores.map[0].mean()


@pytest.mark.usefixtures("evaluating")
def test_heads_of_one_folder_are_tested_on_another(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one command, and in two with the memory alone; features in the cache give nearly the same loss."""
    make_category(tmp_path / "others/cup")
    train = ["--method=mrad", f"--weights={weights}", "--batch_size=4"]
    flags = ["--train=folder", f"--train_data_dir={tmp_path / 'others'}", "--test=folder"]
    out = tmp_path / "out"
    done = here(capsys, "transfer", *train, *flags, f"--test_data_dir={folder}", "--epochs=2", f"--out={out}")
    assert done.code == 0, done.stderr
    assert (
        "the memory has 5 keys of images, 3 of anomalous patches and 5 of normal ones, 0.0 MB" in done.stderr
    )
    contents = json.loads((out / "test/metrics.json").read_text())
    assert contents["config"]["setting"]["image_size"] == 64
    assert contents["categories"]["bottle"]["pixel_auroc"] is not None
    assert json.loads((out / "train/train.json").read_text())["learning_rate"] == MRAD.learning_rate
    params = MRAD.trained(load_clip(weights), out / "train/params").load_params(out / "train/params")

    config = TrainConfig("mrad", str(weights), "folder", str(tmp_path / "others"), epochs=0)
    alone = train_method(config, tmp_path / "memory")
    kept = MRAD.trained(load_clip(weights), alone).load_params(alone)
    assert kept.keys() == {"memory"}
    jax.tree.map(np.testing.assert_array_equal, kept["memory"], params["memory"])

    with pytest.raises(InputError, match="--epochs=0: coop learns in training; give 1 or more"):
        train_method(TrainConfig("coop", str(weights), "folder", str(folder), epochs=0), tmp_path / "coop")


def test_a_memory_without_one_kind_of_patches_is_refused() -> None:
    batch = {
        "features": Features(unit(2, 48), unit(2, 64, detector().clip.config.vision.width)),
        "mask": np.zeros((2, 64, 64), np.uint8),
        "label": np.array([0, 1]),
    }
    assert refusal(detector().training_context, [], [batch]) == (
        "the memory of 2 images has 0 keys of anomalous and 2 of normal patches, and mrad compares both; "
        "give larger images, or other ones"
    )
