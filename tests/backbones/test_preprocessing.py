"""A checkpoint's preprocessing files: reading, conversion to mean and std, and errors."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden import case, golden_clip, open_clip_directory
from vlmad_jax import InputError, load_clip, save_clip
from vlmad_jax.backbones.config import read_config
from vlmad_jax.backbones.preprocessing import (
    OPENAI_MEAN,
    OPENAI_STD,
    Normalisation,
    from_transformers,
    read_normalisation,
    save_normalisation,
)

HALF, QUARTER = [0.5, 0.4, 0.3], [0.25, 0.2, 0.1]
GIVEN = Normalisation((0.5, 0.4, 0.3), (0.25, 0.2, 0.1))
# As transformers 5.24.0 writes `CLIPProcessor.save_pretrained`.
WRITTEN = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": HALF,
    "image_processor_type": "CLIPImageProcessor",
    "image_std": QUARTER,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(folder: Path, processor: Any = None, preprocessor: Any = None) -> Path:
    """Return a folder with the given contents of transformers' two files."""
    for name, entries in (("processor_config", processor), ("preprocessor_config", preprocessor)):
        if entries is not None:
            (folder / f"{name}.json").write_text(json.dumps(entries))
    return folder


def test_without_files_it_is_openais(tmp_path):
    assert read_normalisation(tmp_path) == Normalisation(OPENAI_MEAN, OPENAI_STD)
    assert read_normalisation(write(tmp_path, {"processor_class": "CLIPProcessor"})) == Normalisation()


@pytest.mark.parametrize("files", [({"image_processor": WRITTEN}, None), (None, WRITTEN)], ids=["5", "4"])
def test_the_files_of_transformers(tmp_path, capsys, files):
    assert read_normalisation(write(tmp_path, *files)) == GIVEN
    assert capsys.readouterr().err == ""


def test_the_newer_of_two_files_is_used_as_in_transformers(tmp_path, capsys):
    write(tmp_path, {"image_processor": WRITTEN}, {"image_mean": HALF, "image_std": QUARTER})
    assert read_normalisation(tmp_path) == GIVEN
    assert capsys.readouterr().err == ""
    write(tmp_path, None, {"image_mean": QUARTER, "image_std": HALF})
    assert read_normalisation(tmp_path) == GIVEN
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"warning: {tmp_path / 'preprocessor_config.json'}: has another mean or std than "
        "processor_config.json, which is used, as in transformers; remove the file that is not the model's"
    )
    write(tmp_path, {"processor_class": "CLIPProcessor"})
    assert read_normalisation(tmp_path).mean == tuple(QUARTER)


def test_a_checkpoint_is_normalised_as_its_file_says(tmp_path, weights):
    shutil.copytree(weights, tmp_path / "new")
    write(tmp_path / "new", {"image_processor": WRITTEN})
    clip, usual = load_clip(tmp_path / "new"), load_clip(weights)
    assert (clip.config.image_mean, clip.config.image_std) == GIVEN
    assert clip.fingerprint != usual.fingerprint
    # The first step of the network, by hand: pixels normalised, patches multiplied.
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    vision = clip.vision().bind({"params": clip.params["vision"]})
    pixels = (images / 255 - HALF) / QUARTER
    patches = pixels.reshape(8, 8, 8, 8, 3).transpose(0, 2, 1, 3, 4).reshape(64, -1)
    part = clip.params["vision"]
    expected = patches @ np.asarray(part["patch_embedding"]["kernel"], np.float64)
    expected += np.asarray(part["position_embedding"])[1:]
    np.testing.assert_allclose(vision.embed(images)[0, 1:], expected, atol=2e-5)


@pytest.mark.parametrize(
    "entries",
    [
        {"do_normalize": False},
        {"do_normalize": False, "do_rescale": False},
        {"do_rescale": False, "image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]},
        {"rescale_factor": 1, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
        {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]},
        {"do_rescale": False, "rescale_factor": 7, "image_mean": HALF, "image_std": QUARTER},
    ],
    ids=lambda entries: json.dumps(entries)[:40],
)
def test_omitted_or_rescaled_steps(entries):
    """transformers' (p f - mean) / std equals (p / 255 - our mean) / our std."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3)).astype(float)
    theirs = pixels * (entries.get("rescale_factor", 1 / 255) if entries.get("do_rescale", True) else 1)
    if entries.get("do_normalize", True):
        theirs = (theirs - entries["image_mean"]) / entries["image_std"]
    ours = from_transformers(entries)
    np.testing.assert_allclose((pixels / 255 - ours.mean) / ours.std, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [1 / 255, 0.00392156862745098, 0.003921568859368563, 0.0039215687])
def test_the_usual_factor_leaves_every_bit(factor):
    assert from_transformers(WRITTEN | {"rescale_factor": factor}) == GIVEN


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"image_mean": ["0.5", "0.5", "0.5"]},
            'image_mean ["0.5", "0.5", "0.5"] is not three finite numbers;',
        ),
        (
            {"image_mean": [0.5] * 4},
            "image_mean [0.5, 0.5, 0.5, 0.5] is not three finite numbers; give those",
        ),
        ({"image_std": [[0.5] * 3]}, "image_std [[0.5, 0.5, 0.5]] is not three finite numbers"),
        ({"image_std": [0.5, float("nan"), 0.5]}, "image_std [0.5, NaN, 0.5] is not three finite numbers"),
        ({"image_std": [0.5, float("inf"), 0.5]}, "image_std [0.5, Infinity, 0.5] is not three finite"),
        ({"image_mean": [10**400, 0, 0]}, "image_mean [1000000"),
        ({"image_mean": [True, 0, 0]}, "image_mean [true, 0, 0] is not three finite numbers"),
        ({"image_mean": 0.5}, "image_mean 0.5 is not three finite numbers"),
        ({"image_mean": {"r": 0.5}}, 'image_mean {"r": 0.5} is not three finite numbers'),
        ({"image_std": [0.5, 0, 0.5]}, "image_std 0.5, 0, 0.5 has to be above 0; give the model's own"),
        ({"image_std": [0.5, -0.5, 0.5]}, "image_std 0.5, -0.5, 0.5 has to be above 0"),
        ({"image_std": [0.5, 1e-60, 0.5]}, "image_std 0.5, 1e-60, 0.5 has to be above 0"),
        ({"image_mean": [123.7, 116.3, 103.5]}, "image_mean makes the mean 123.7, 116.3, 103.5, but pixels"),
        ({"image_std": [58.4, 57.1, 57.4]}, "image_std makes the std 58.4, 57.1, 57.4, but pixels"),
        ({"rescale_factor": 1 / 2550}, "image_mean makes the mean 5, 4, 3, but pixels are scaled to"),
        ({"rescale_factor": "1/255"}, 'rescale_factor "1/255" is not a number above 0'),
        ({"rescale_factor": 0}, "rescale_factor 0 is not a number above 0; give for example 0.0039"),
        ({"do_normalize": "false"}, 'do_normalize "false" is neither true nor false'),
        ({"do_rescale": 0}, "do_rescale 0 is neither true nor false"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order true is not supported"),
        ({"image_std": None}, "image_std is missing; give three numbers"),
    ],
)
@pytest.mark.parametrize("file", ["processor", "preprocessor"])
def test_invalid_entries_raise(tmp_path, entries, message, file):
    spoilt = WRITTEN | entries
    write(tmp_path, **{file: {"image_processor": spoilt} if file == "processor" else spoilt})
    assert refusal(read_normalisation, tmp_path).startswith(f"{tmp_path / file}_config.json: {message}")


def test_invalid_files_raise(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    for broken in ("{", "\xff"):
        path.write_bytes(broken.encode("latin-1"))
        assert refusal(read_normalisation, tmp_path).startswith(f"{path}: not valid JSON (")
    path.write_text("[]")
    assert refusal(read_normalisation, tmp_path) == (
        f"{path}: [] is not an object of entries; copy the model's own file"
    )
    path.write_text('{"image_processor_type": "SiglipImageProcessor"}')  # whose default is another
    assert refusal(read_normalisation, tmp_path).startswith(f"{path}: image_mean is missing")


def test_entries_that_are_absent_or_null_take_the_defaults_of_transformers():
    assert from_transformers({}) == Normalisation(OPENAI_MEAN, OPENAI_STD)


def test_warning_of_another_filter(tmp_path, capsys):
    for resample, said in ((3, ""), (None, ""), (2, "bilinear"), (1, "lanczos")):
        assert read_normalisation(write(tmp_path, None, WRITTEN | {"resample": resample})) == GIVEN
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == bool(said)
        for line in lines:
            path = tmp_path / "preprocessor_config.json"
            assert line.startswith(f'warning: {path}: resample asks for "{said}" resizing, ')


def open_clip_file(folder: Path, entries: Any) -> Path:
    raw = json.loads((case("winclip").directory / "open_clip_config.json").read_text())
    raw["preprocess_cfg"] = entries
    (folder / "open_clip_config.json").write_text(json.dumps(raw))
    return folder / "open_clip_config.json"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (None, Normalisation()),
        ({"mean": None, "std": None}, Normalisation()),
        (
            {"size": [64, 64], "mode": "RGB", "mean": HALF, "std": QUARTER, "interpolation": "bicubic"}
            | {"resize_mode": "squash", "fill_color": 0},
            GIVEN,
        ),
    ],
)
def test_the_file_of_open_clip(tmp_path, capsys, entries, expected):
    config = read_config(open_clip_file(tmp_path, entries), "open_clip")
    assert (config.image_mean, config.image_std) == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"mean": ["0.5"] * 3}, 'preprocess_cfg mean ["0.5", "0.5", "0.5"] is not three finite numbers'),
        ({"std": [0.5, 0.5, 0]}, "preprocess_cfg std 0.5, 0.5, 0 has to be above 0"),
        ({"mean": [123, 116, 103]}, "preprocess_cfg mean makes the mean 123, 116, 103, but pixels"),
        ({"mean": 0.5}, "preprocess_cfg mean 0.5 is not three finite numbers"),
        ({"mode": "BGR"}, 'preprocess_cfg mode "BGR" is not supported'),
        ([0.5], "preprocess_cfg [0.5] is not an object of entries"),
    ],
)
def test_invalid_entries_of_open_clip_raise(tmp_path, entries, message):
    path = open_clip_file(tmp_path, entries)
    assert refusal(read_config, path, "open_clip").startswith(f"{path}: {message}")


def test_warning_of_another_filter_of_open_clip(tmp_path, capsys):
    path = open_clip_file(tmp_path, {"interpolation": "bilinear"})
    read_config(path, "open_clip")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'warning: {path}: preprocess_cfg interpolation asks for "bilinear" resizing, ')


def test_what_is_saved_is_read(tmp_path, capsys):
    """An older file that describes images would otherwise take precedence."""
    write(tmp_path, {"image_processor": WRITTEN, "processor_class": "CLIPProcessor"})
    folded = from_transformers({"do_rescale": False, "image_mean": [127.0] * 3, "image_std": [51] * 3})
    save_normalisation(tmp_path, folded, 64)
    assert read_normalisation(tmp_path) == folded
    kept = json.loads((tmp_path / "processor_config.json").read_text())
    assert kept == {"processor_class": "CLIPProcessor"}
    clip = golden_clip("winclip")
    changed = dataclasses.replace(clip.config, image_mean=folded.mean, image_std=folded.std)
    save_clip(dataclasses.replace(clip, config=changed), tmp_path)
    assert load_clip(tmp_path).config == changed
    assert capsys.readouterr().err == ""


def test_open_clip_reads_its_own_file_alone(tmp_path):
    write(open_clip_directory(tmp_path), None, WRITTEN)
    assert load_clip(tmp_path).config.image_mean == pytest.approx(OPENAI_MEAN)
