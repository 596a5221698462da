"""The conversion of checkpoints to parameters and back, and its errors."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest

from tests.backbones.torch_files import Raw, build, call, ordered_dict, tensor, write
from tests.golden import TOKENIZER_FILES, case, golden_clip, open_clip_directory
from vlmad_jax import InputError, load_clip, save_clip
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.backbones.clip_weights import clip_shapes, load_params, save_params
from vlmad_jax.backbones.config import ARCHITECTURES, CLIPConfig

GOLDEN = case("winclip").directory


def assert_same_parameters(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for path, leaf in jax.tree.leaves_with_path(a):
        other = dict(jax.tree.leaves_with_path(b))[path]
        np.testing.assert_array_equal(leaf, other, err_msg=jax.tree_util.keystr(path), strict=True)


def without_weights(directory: Path) -> Path:
    """The configuration and tokenizer of a checkpoint."""
    for name in ("config.json", *TOKENIZER_FILES):
        shutil.copy(GOLDEN / name, directory)
    return directory


# As their authors count them, B/16-plus-240 as 208.38 million.
PUBLISHED = {
    "vit-b-32": 151_277_313,
    "vit-b-16": 149_620_737,
    "vit-b-16-plus-240": 208_377_345,
    "vit-l-14": 427_616_513,
    "vit-l-14-336": 427_944_193,
    "vit-h-14": 986_109_441,
}


def parameters_by_hand(config: CLIPConfig) -> int:
    vision, text = config.vision, config.text

    def tower(width: int, layers: int) -> int:
        # Attention 4 D^2 + 4 D, MLP 8 D^2 + 5 D, two norms 4 D; the norm and projection at the end.
        return layers * (12 * width**2 + 13 * width) + 2 * width + width * config.embed_dim

    patches = (vision.image_size // vision.patch_size) ** 2
    embed = (3 * vision.patch_size**2 + 1 + 1 + patches + 2) * vision.width  # class token, positions, norm
    words = (text.vocab_size + text.context_length) * text.width
    return tower(vision.width, vision.layers) + embed + tower(text.width, text.layers) + words + 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_number_of_parameters(name):
    shapes = clip_shapes(ARCHITECTURES[name])
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == PUBLISHED[name]
    assert parameters_by_hand(ARCHITECTURES[name]) == PUBLISHED[name]


def test_both_layouts_are_the_same_model(tmp_path):
    other = load_clip(open_clip_directory(tmp_path))
    assert_same_parameters(other.params, golden_clip("winclip").params)
    fields = dataclasses.asdict(other.config) | {"image_mean": 0, "image_std": 0}
    assert fields == dataclasses.asdict(golden_clip("winclip").config) | {"image_mean": 0, "image_std": 0}
    for mine, published in (("image_mean", other.config.image_mean), ("image_std", other.config.image_std)):
        np.testing.assert_allclose(getattr(golden_clip("winclip").config, mine), published, rtol=1e-7)


def test_sharded_and_bin_directories_are_the_same_model(tmp_path):
    tensors = read_tensors(GOLDEN)
    sharded, pickled = (without_weights(tmp_path / name) for name in make_directories(tmp_path))
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for shard, held in shards.items():
        write_safetensors(sharded / shard, {name: tensors[name] for name in held})
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    kinds = {"float16": "HalfStorage", "float32": "FloatStorage"}
    storages = {str(number): np.ascontiguousarray(tensors[name]) for number, name in enumerate(names)}
    state = {}
    for number, name in enumerate(names):
        array = tensors[name]
        strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).strides)
        kind = kinds[array.dtype.name]
        state[name] = tensor(kind, str(number), array.size, 0, array.shape, strides[: array.ndim])
    # Old exports stored this constant too.
    state["text_model.embeddings.position_ids"] = tensor("LongStorage", "ids", 77, 0, (1, 77), (77, 1))
    storages["ids"] = np.arange(77)
    write(pickled / "pytorch_model.bin", ordered_dict(state, {}), storages)
    for directory in (sharded, pickled):
        assert_same_parameters(load_clip(directory).params, golden_clip("winclip").params)


def make_directories(folder: Path) -> list[str]:
    for name in ("sharded", "pickled"):
        (folder / name).mkdir()
    return ["sharded", "pickled"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_saved_is_loaded(tmp_path, dtype):
    """The golden weights are exact in float16."""
    clip = golden_clip("winclip")
    clip = dataclasses.replace(clip, config=dataclasses.replace(clip.config, image_mean=(0.1, 0.2, 0.3)))
    clip.encode_text(["a photo of a nut."])
    save_clip(clip, tmp_path / "new" / "folder", dtype)
    assert json.loads((tmp_path / "new" / "folder" / "tokenizer.json").read_text())["truncation"] is None
    loaded = load_clip(tmp_path / "new" / "folder")
    assert loaded.config == clip.config
    assert_same_parameters(loaded.params, clip.params)
    stored = read_tensors(tmp_path / "new" / "folder")
    assert {x.dtype.name for x in stored.values()} == {dtype}
    published = read_tensors(GOLDEN)
    assert set(stored) == set(published)
    for name in stored:
        np.testing.assert_array_equal(stored[name], published[name])
    sentences = ["a photo of a bottle.", "Zürich 42%"]
    assert loaded.tokenizer(sentences)["input_ids"] == clip.tokenizer(sentences)["input_ids"]


def test_full_float32_weights_survive(tmp_path):
    clip = golden_clip("winclip")
    params = jax.tree.map(lambda x: x * np.float32(1 + 2**-20), clip.params)
    save_clip(dataclasses.replace(clip, params=params), tmp_path)
    assert_same_parameters(load_clip(tmp_path).params, params)


def test_matrices_of_a_bfloat16_model_are_rounded_once():
    single = jax.tree.leaves_with_path(golden_clip("winclip").params)
    brain = jax.tree.leaves(golden_clip("winclip", "bfloat16").params)
    rounded = 0
    for (path, a), b in zip(single, brain, strict=True):
        matrix = path[-1].key == "kernel"
        rounded += matrix
        expected = np.asarray(a).astype(ml_dtypes.bfloat16) if matrix else np.asarray(a)
        np.testing.assert_array_equal(b, expected, strict=True)
    assert rounded == 7 * 6 + 3  # six a layer; the patch embedding and two projections


def test_buffers_are_ignored():
    clip = golden_clip("winclip")
    tensors = read_tensors(GOLDEN) | {"vision_model.embeddings.position_ids": np.arange(65)[None]}
    assert_same_parameters(
        load_params(tensors, clip.config, "transformers", "x"), jax.device_get(clip.params)
    )


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_that_does_not_fit_is_listed_in_one_line():
    config = golden_clip("winclip").config
    tensors = dict(save_params(golden_clip("winclip").params, config))
    del tensors["logit_scale"]
    del tensors["text_model.encoder.layers.2.mlp.fc1.bias"]
    tensors["vision_model.encoder.layers.4.mlp.fc1.bias"] = np.zeros(512)
    tensors["extra"] = np.zeros(1)
    tensors["visual_projection.weight"] = tensors["visual_projection.weight"].T
    tensors["vision_model.embeddings.class_embedding"] = np.zeros(127)
    tensors["text_projection.weight"] = tensors["text_projection.weight"].copy()
    tensors["text_projection.weight"][3, 4] = np.nan
    tensors["text_model.final_layer_norm.bias"] = np.full(64, np.inf)
    assert refusal(load_params, tensors, config, "transformers", "some/folder") == (
        "some/folder: the tensors do not fit its configuration ("
        "missing: logit_scale, text_model.encoder.layers.2.mlp.fc1.bias; "
        "unexpected: extra, vision_model.encoder.layers.4.mlp.fc1.bias; "
        "misshapen: vision_model.embeddings.class_embedding [127] instead of [128], "
        "visual_projection.weight [128, 48] instead of [48, 128]; "
        "not finite: text_model.final_layer_norm.bias, text_projection.weight); download it again"
    )


def test_a_stacked_tensor_that_is_missing_is_named_once(tmp_path):
    directory = open_clip_directory(tmp_path)
    tensors = read_tensors(directory, "open_clip")
    del tensors["visual.transformer.resblocks.0.attn.in_proj_weight"]
    (directory / "open_clip_model.safetensors").unlink()
    write_safetensors(directory / "open_clip_model.safetensors", tensors)
    assert refusal(load_clip, directory) == (
        f"{directory}: the tensors do not fit its configuration "
        "(missing: visual.transformer.resblocks.0.attn.in_proj_weight); download it again"
    )


def test_a_wrong_model_is_one_short_line():
    """Names are counted, and the remedy is not another download."""
    config = golden_clip("winclip").config
    tensors = {f"blocks.{n}.weight": np.zeros(2) for n in range(200)}
    message = refusal(load_params, tensors, config, "transformers", "some/folder")
    assert len(message) < 600
    assert "and 197 more" in message
    assert message.endswith("); give weights and configuration of one plain CLIP ViT")
    longer = dataclasses.replace(config, vision=dataclasses.replace(config.vision, image_size=72))
    tensors = save_params(golden_clip("winclip").params, config)
    assert refusal(load_params, tensors, longer, "transformers", "some/folder") == (
        "some/folder: the tensors do not fit its configuration (misshapen: "
        "vision_model.embeddings.position_embedding.weight [65, 128] instead of [82, 128]); "
        "give weights and configuration of one plain CLIP ViT"
    )


def in_custom_text(name: str) -> str:
    """Return open_clip's name of a tensor with `custom_text`."""
    return name if name.startswith("visual.") or name == "logit_scale" else f"text.{name}"


RENAMED = {
    "module.": lambda name: f"module.{name}",
    "_orig_mod.": lambda name: f"_orig_mod.{name}",
    "module._orig_mod.": lambda name: f"module._orig_mod.{name}",
    "model.clip.": lambda name: f"model.clip.{name}",
    "compiled parts": lambda name: name.replace("mlp.", "_orig_mod.mlp._checkpoint_wrapped_module.", 1),
    "custom text": in_custom_text,
    "custom text of a wrapped model": lambda name: f"module.{in_custom_text(name)}",
}


@pytest.mark.parametrize("layout", ["open_clip", "transformers"])
@pytest.mark.parametrize("kind", RENAMED)
def test_names_as_training_leaves_them(layout, kind):
    if layout == "transformers" and kind.startswith("custom"):
        return
    clip, tensors = golden_clip("winclip"), read_tensors(GOLDEN, layout)
    renamed = {RENAMED[kind](name): tensor for name, tensor in tensors.items()}
    assert len(set(renamed) & set(tensors)) < len(tensors)
    params = load_params(renamed, clip.config, layout, "x")
    assert_same_parameters(params, jax.device_get(clip.params))


def test_a_prefix_of_some_names_alone_is_refused():
    tensors = read_tensors(GOLDEN)
    tensors["module.logit_scale"] = tensors.pop("logit_scale")
    message = refusal(load_params, tensors, golden_clip("winclip").config, "transformers", "x")
    assert "(missing: logit_scale; unexpected: module.logit_scale)" in message


@pytest.mark.parametrize("layout", ["open_clip", "transformers"])
def test_scales_and_biases_of_logits_and_buffers(layout):
    clip, tensors = golden_clip("winclip"), read_tensors(GOLDEN, layout)
    tensors["logit_scale"] = tensors["logit_scale"].reshape(1)
    tensors |= {"logit_bias": np.full(1, -10.0, np.float32)}
    tensors |= (
        {"attn_mask": np.full((77, 77), -np.inf), "vocab_size": np.array(303)}
        if layout == "open_clip"
        else {}
    )
    assert_same_parameters(load_params(tensors, clip.config, layout, "x"), jax.device_get(clip.params))
    tensors["logit_scale"] = np.zeros(2, np.float32)
    message = refusal(load_params, tensors, clip.config, layout, "x")
    assert "(misshapen: logit_scale [2] instead of [])" in message


def numpy_number(number: np.generic) -> Raw:
    """Return a NumPy scalar as `torch.save` pickles it in protocol 2, such as a learning rate."""
    kind = build(
        call("numpy.dtype", number.dtype.str[1:], False, True), (3, "<", None, None, None, -1, -1, 0)
    )
    held = call("_codecs.encode", number.tobytes().decode("latin1"), "latin1")
    return call("numpy._core.multiarray.scalar", kind, held)


def training_checkpoint(path: Path, names, below: tuple[str, ...]) -> None:
    """Write a checkpoint of open_clip's training: the state dict, an optimiser's state and others."""
    tensors = read_tensors(GOLDEN, "open_clip")
    storages = {str(n): np.ascontiguousarray(x, np.float32) for n, x in enumerate(tensors.values())}
    state = {}
    for (name, array), key in zip(tensors.items(), storages, strict=True):
        strides = tuple(stride // 4 for stride in storages[key].strides)
        state[names(name)] = tensor("FloatStorage", key, array.size, 0, array.shape, strides[: array.ndim])
    step = tensor("FloatStorage", "0", storages["0"].size, 0, (), ())
    optimizer = {
        "state": {0: {"step": step, "exp_avg": step}},
        "param_groups": [
            {"lr": numpy_number(np.float64(1e-3)), "betas": (1, 0), "fused": None, "params": [0]}
        ],
    }
    content = ordered_dict(state, {})
    for name in below:
        content = {
            "epoch": 3,
            "name": "run",
            name: content,
            "optimizer": optimizer,
            "scaler": {"scale": 65536},
        }
    write(path, content, storages)


@pytest.mark.parametrize(
    ("file", "prefix", "below"),
    [
        ("open_clip_pytorch_model.bin", "module.", ("state_dict",)),
        ("epoch_3.pt", "", ("model",)),
        ("open_clip_pytorch_model.pth", "_orig_mod.", ("module",)),
        ("open_clip_pytorch_model.pt", "module._orig_mod.", ("state_dict", "model")),
    ],
)
def test_checkpoints_of_training(tmp_path, file, prefix, below):
    directory = open_clip_directory(tmp_path)
    (directory / "open_clip_model.safetensors").unlink()
    training_checkpoint(directory / file, lambda name: prefix + name, below)
    tensors = read_tensors(directory, "open_clip")
    params = load_params(tensors, golden_clip("winclip").config, "open_clip", "x")
    assert_same_parameters(params, jax.device_get(golden_clip("winclip").params))


def test_a_directory_without_weights(tmp_path):
    assert "has no weights" in refusal(load_clip, without_weights(tmp_path))


def test_a_directory_without_tokenizer(tmp_path):
    shutil.copy(GOLDEN / "config.json", tmp_path)
    shutil.copy(GOLDEN / "model.safetensors", tmp_path)
    assert refusal(load_clip, tmp_path) == (
        f"{tmp_path}: has no tokenizer.json; copy the one of the model it was made from"
    )
    (tmp_path / "tokenizer.json").write_text("{}")
    assert refusal(load_clip, tmp_path).startswith(f"{tmp_path}: its tokenizer does not load (")


def test_types_of_products():
    assert refusal(load_clip, GOLDEN, "float16") == "dtype 'float16' is not one of float32, bfloat16, int8"


def test_nothing_to_encode_and_nothing_to_encode_with():
    clip = golden_clip("winclip")
    assert refusal(clip.encode_text, []) == "no sentence to encode; give at least one"
    silent = dataclasses.replace(clip, tokenizer=None)
    assert (
        refusal(silent.encode_text, ["a"]) == f"{GOLDEN}: has no tokenizer; load a checkpoint that holds one"
    )


def test_fingerprint():
    clip = golden_clip("winclip")
    other = dict(clip.params) | {"logit_scale": clip.params["logit_scale"] + 1e-6}
    prints = {
        clip.fingerprint,
        golden_clip("winclip", "bfloat16").fingerprint,
        dataclasses.replace(clip, params=other).fingerprint,
        dataclasses.replace(
            clip, config=dataclasses.replace(clip.config, activation="quick_gelu")
        ).fingerprint,
    }
    assert len(prints) == 4
    assert load_clip(GOLDEN).fingerprint == clip.fingerprint


def test_a_configuration_of_another_library_beside_that_of_open_clip(tmp_path):
    directory = open_clip_directory(tmp_path)
    alone = load_clip(directory).fingerprint
    (directory / "config.json").write_text('{"architecture": "vit_base_patch16_plus_clip_240"}')
    assert load_clip(directory).fingerprint == alone


def test_the_tokenizer_of_another_model_is_refused(tmp_path):
    shutil.copytree(case("april_gan").directory, tmp_path / "mixed")
    shutil.copy(case("winclip").directory / "tokenizer.json", tmp_path / "mixed")
    with pytest.raises(
        InputError, match=r"mixed: its tokenizer has 303 tokens and ends with 302, the model 319"
    ):
        load_clip(tmp_path / "mixed")


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
    ],
    ids=["float", "channels first", "one image", "smaller than a patch", "none"],
)
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(InputError, match=r"images are .* give uint8 images of at least 8 x 8 pixels"):
        golden_clip("winclip").encode_image(images)


def test_one_string_is_not_a_list_of_sentences():
    with pytest.raises(InputError, match="is one string; give a list of sentences"):
        golden_clip("winclip").encode_text("a photo")
