"""Configurations, and files that are not configurations."""

import dataclasses
import json
from typing import Any

import pytest

from tests.golden import case
from vlmad_jax import InputError
from vlmad_jax.backbones.clip import layout_of
from vlmad_jax.backbones.config import (
    ARCHITECTURES,
    EMBED_DIM_DEFAULT,
    OPENAI_MEAN,
    TEXT_DEFAULTS,
    VISION_DEFAULTS,
    from_open_clip,
    from_transformers,
    read_config,
    stated_end,
    to_transformers,
)
from vlmad_jax.backbones.library import transformers

DIRECTORY = case("winclip").directory


def transformers_config() -> dict[str, Any]:
    return json.loads((DIRECTORY / "config.json").read_text())


def open_clip_config() -> dict[str, Any]:
    return json.loads((DIRECTORY / "open_clip_config.json").read_text())


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_written_configuration_is_read(name):
    config = ARCHITECTURES[name]
    assert from_transformers(json.loads(json.dumps(to_transformers(config)))) == config


def test_absent_entries_take_the_defaults_of_transformers():
    """openai/clip-vit-base-patch32 stores little more than its type, and its end token is 49407."""
    published = {"model_type": "clip", "text_config": {"eos_token_id": 2}, "vision_config": {}}
    assert from_transformers(published) == ARCHITECTURES["vit-b-32"]


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_the_defaults_are_those_of_transformers(tower):
    library = transformers()
    published = {"vision": library.CLIPVisionConfig, "text": library.CLIPTextConfig}[tower]().to_dict()
    ours = {"vision": VISION_DEFAULTS, "text": TEXT_DEFAULTS}[tower]
    assert ours == {name: published[name] for name in ours}
    assert library.CLIPConfig().projection_dim == EMBED_DIM_DEFAULT


def test_entries_of_old_exports_take_precedence_as_in_transformers():
    """openai/clip-vit-large-patch14 has `text_config_dict` beside `text_config`, with its defaults."""
    raw = {
        "model_type": "clip",
        "text_config": {"num_hidden_layers": 3, "hidden_size": 256},
        "text_config_dict": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
        "vision_config": {"patch_size": 14},
        "vision_config_dict": None,
    }
    parsed = transformers().CLIPConfig.from_dict(json.loads(json.dumps(raw)))
    config = from_transformers(raw)
    assert (config.text.width, config.text.layers) == (768, 12)
    assert (parsed.text_config.hidden_size, parsed.text_config.num_hidden_layers) == (768, 12)
    assert config.vision.patch_size == parsed.vision_config.patch_size == 14


def test_open_clip_options():
    raw = open_clip_config()
    config = from_open_clip(raw)
    assert (config.activation, config.vision.heads, config.text.eos_token_id) == ("gelu", 2, 302)
    raw["model_cfg"] |= {"quick_gelu": True}
    raw["model_cfg"]["vision_cfg"] |= {"head_width": 32, "mlp_ratio": 4.3637}
    del raw["preprocess_cfg"]
    config = from_open_clip(raw)
    assert (config.activation, config.vision.heads, config.vision.mlp_width) == ("quick_gelu", 4, 558)
    assert config.image_mean == OPENAI_MEAN


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "siglip"}, "model_type 'siglip' is not 'clip'; give a CLIP checkpoint"),
        ({"model_type": None}, "model_type None is not 'clip'; give a CLIP checkpoint"),
        ({"vision_config": {"hidden_act": "gelu"}}, "vision and text differ in hidden_act or layer_norm_eps"),
        (
            {key: {"hidden_act": "gelu_new"} for key in ("vision_config", "text_config")},
            "activation 'gelu_new' is not one of quick_gelu, gelu",
        ),
        (
            {"vision_config": {"hidden_size": 770}},
            "vision width 770 does not divide into 12 heads",
        ),
        ({"vision_config": 3}, "vision_config 3 is not an object; this is not the file of a CLIP ViT"),
        ({"vision_config": {"patch_size": [16, 16]}}, "vision patch_size [16, 16] is not a positive whole"),
        ({"projection_dim": None}, "embed_dim None is not a positive whole number"),
        (
            {key: {"layer_norm_eps": "1e-5"} for key in ("vision_config", "text_config")},
            "layer_norm_eps '1e-5' is not a number between 0 and 1",
        ),
    ],
)
def test_other_models_of_transformers(tmp_path, change, message):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "clip"} | change))
    assert refusal(read_config, path, "transformers").startswith(f"{path}: {message}")


def test_other_models_of_open_clip(tmp_path):
    path = tmp_path / "open_clip_config.json"
    raw = open_clip_config()
    raw["model_cfg"]["vision_cfg"] |= {"timm_model_name": "convnext", "attn_pool": True}
    raw["model_cfg"]["multimodal_cfg"] = {}
    path.write_text(json.dumps(raw))
    assert refusal(read_config, path, "open_clip") == (
        f'{path}: vision_cfg timm_model_name "convnext", vision_cfg attn_pool true, multimodal_cfg {{}}: '
        "not an option of a plain CLIP ViT; give a plain CLIP ViT"
    )
    del raw["model_cfg"]["text_cfg"]
    path.write_text(json.dumps(raw))
    message = f"{path}: the entry 'text_cfg' is missing; this is not the file of a CLIP ViT"
    assert refusal(read_config, path, "open_clip") == message


@pytest.mark.parametrize("contents", [b"", b"{", b'{"model_type": "clip",}', b"\xff\xfe"])
def test_a_file_that_is_not_json(tmp_path, contents):
    path = tmp_path / "config.json"
    path.write_bytes(contents)
    message = refusal(read_config, path, "transformers")
    assert message.startswith(f"{path}: not valid JSON (")
    assert message.endswith("); download it again")


@pytest.mark.parametrize("layout", ["transformers", "open_clip"])
@pytest.mark.parametrize("contents", ["[]", "3", "null"])
def test_json_of_another_kind(tmp_path, layout, contents):
    path = tmp_path / "config.json"
    path.write_text(contents)
    message = refusal(read_config, path, layout)
    assert message.startswith(f"{path}: ")
    assert message.endswith("; this is not the file of a CLIP ViT")


def test_open_clip_entries_of_another_kind(tmp_path):
    path = tmp_path / "open_clip_config.json"
    for model in (3, {"vision_cfg": [], "text_cfg": {}}, {"vision_cfg": {"width": "wide"}, "text_cfg": {}}):
        path.write_text(json.dumps({"model_cfg": model}))
        assert refusal(read_config, path, "open_clip").endswith("; this is not the file of a CLIP ViT")


def test_heads_divide_the_width():
    raw = open_clip_config()
    raw["model_cfg"]["text_cfg"]["heads"] = 3
    assert refusal(from_open_clip, raw) == "text width 64 does not divide into 3 heads"


def test_layouts_are_distinguished(tmp_path):
    assert refusal(layout_of, tmp_path) == (
        f"{tmp_path}: has no config.json or open_clip_config.json; give the directory of a CLIP checkpoint"
    )
    (tmp_path / "open_clip_config.json").touch()
    assert layout_of(tmp_path) == "open_clip"
    (tmp_path / "config.json").write_text('{"architecture": "vit_base_patch16"}')  # timm's
    assert layout_of(tmp_path) == "open_clip"
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    assert layout_of(tmp_path) == "transformers"


# What open_clip 3.3.0 writes of a plain ViT, every option at its default, as training or a hub export has it.
DEFAULTS: dict[str, dict[str, Any]] = {
    "vision_cfg": {
        "ls_init_value": None,
        "patch_dropout": 0.0,
        "attentional_pool": False,
        "attn_pooler_queries": 256,
        "attn_pooler_heads": 8,
        "no_ln_pre": False,
        "pos_embed_type": "learnable",
        "final_ln_after_pool": False,
        "pool_type": "tok",
        "output_tokens": False,
        "act_kwargs": None,
        "norm_kwargs": None,
        "block_type": None,
        "qk_norm": False,
        "scaled_cosine_attn": False,
        "scale_heads": False,
        "scale_attn_inner": False,
        "scale_attn": False,
        "scale_fc": False,
        "timm_model_name": None,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_proj_bias": False,
        "timm_drop": 0.0,
        "timm_drop_path": None,
        "global_average_pool": False,  # of older versions
        "input_patchnorm": False,
        "mlp_ratio": 4.0,
    },
    "text_cfg": {
        "hf_tokenizer_name": None,
        "tokenizer_mode": None,
        "tokenizer_kwargs": None,
        "mlp_ratio": 4.0,
        "ls_init_value": None,
        "embed_cls": False,
        "pad_id": 0,
        "eos_id": 2,
        "no_causal_mask": False,
        "final_ln_after_pool": False,
        "pool_type": "argmax",
        "proj_bias": False,
        "proj_type": "linear",
        "output_tokens": False,
        "act_kwargs": None,
        "norm_kwargs": None,
        "block_type": None,
        "qk_norm": False,
        "scaled_cosine_attn": False,
        "scale_heads": False,
        "scale_attn_inner": False,
        "scale_attn": False,
        "scale_fc": False,
        "hf_model_name": None,
        "hf_model_pretrained": True,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
    },
    "model_cfg": {
        "custom_text": False,
        "init_logit_scale": 2.6592,
        "init_logit_bias": None,
        "nonscalar_logit_scale": False,
        "cast_dtype": None,
        "output_dict": False,
    },
}


def open_clip_with(**changes: dict[str, Any]) -> dict[str, Any]:
    """The golden configuration with other options of "vision_cfg", "text_cfg" and "model_cfg"."""
    raw = open_clip_config()
    for part, options in changes.items():
        tower = raw["model_cfg"] if part == "model_cfg" else raw["model_cfg"][part]
        tower |= options
    return raw


def test_options_of_open_clip_at_their_defaults_change_nothing():
    assert from_open_clip(open_clip_with(**DEFAULTS)) == from_open_clip(open_clip_config())


@pytest.mark.parametrize(
    ("part", "options"),
    [
        ("vision_cfg", {"patch_dropout": 0.5, "output_tokens": True, "timm_pool": "abs_attn"}),
        ("vision_cfg", {"image_size": [64, 64], "patch_size": [8, 8], "pos_embed_type": "sin_cos_2d"}),
        ("vision_cfg", {"norm_kwargs": {}, "act_kwargs": {"approximate": "none"}, "block_type": "default"}),
        (
            "text_cfg",
            {"output_tokens": True, "pad_id": 1, "hf_tokenizer_name": "openai/clip", "proj": "linear"},
        ),
        ("model_cfg", {"custom_text": True, "init_logit_bias": -10, "nonscalar_logit_scale": True}),
    ],
)
def test_options_of_open_clip_that_change_nothing(part, options):
    assert from_open_clip(open_clip_with(**{part: options})) == from_open_clip(open_clip_config())


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("vision_cfg", "global_average_pool", True),
        ("vision_cfg", "attentional_pool", "parallel"),
        ("vision_cfg", "no_ln_pre", True),
        ("vision_cfg", "pool_type", "avg"),
        ("vision_cfg", "ls_init_value", 1e-4),
        ("vision_cfg", "norm_kwargs", {"eps": 1e-6}),
        ("vision_cfg", "act_kwargs", {"approximate": "tanh"}),
        ("vision_cfg", "qk_norm", True),
        ("vision_cfg", "timm_model_name", "vit_base_patch16_224"),
        ("text_cfg", "embed_cls", True),
        ("text_cfg", "no_causal_mask", True),
        ("text_cfg", "pool_type", "last"),
        ("text_cfg", "proj_type", "none"),
        ("text_cfg", "tokenizer_kwargs", {"clean": "canonicalize"}),
        ("text_cfg", "hf_model_name", "roberta-base"),
        ("text_cfg", "swiglu", True),  # of a version to come
        ("model_cfg", "multimodal_cfg", {"width": 512}),
    ],
)
def test_options_of_open_clip_that_change_the_network(part, name, value):
    where = "" if part == "model_cfg" else f"{part} "
    assert refusal(from_open_clip, open_clip_with(**{part: {name: value}})) == (
        f"{where}{name} {json.dumps(value)}: not an option of a plain CLIP ViT; give a plain CLIP ViT"
    )


def test_many_options_are_counted():
    strange = {f"strange_{n}": n for n in range(5)}
    assert refusal(from_open_clip, open_clip_with(vision_cfg=strange)).startswith(
        "vision_cfg strange_0 0, vision_cfg strange_1 1, vision_cfg strange_2 2 and 2 more: not an option"
    )


def test_absent_shapes_take_the_defaults_of_open_clip():
    raw = {"model_cfg": {"embed_dim": 512, "vision_cfg": {}, "text_cfg": {}}}
    assert from_open_clip(raw) == dataclasses.replace(ARCHITECTURES["vit-b-16"], activation="gelu")


@pytest.mark.parametrize(
    ("layout", "text", "end"),
    [
        ("transformers", {"eos_token_id": 302}, 302),
        ("transformers", {"eos_token_id": 2}, None),
        ("transformers", {"eos_token_id": None}, None),
        ("transformers", {}, None),
        ("open_clip", {}, None),
        ("open_clip", {"pool_type": "argmax", "eos_id": 7}, None),
        ("open_clip", {"pool_type": "eos", "eos_id": 302}, 302),
    ],
)
def test_the_end_token_that_a_configuration_states(tmp_path, layout, text, end):
    raw = {"model_type": "clip", "text_config": text, "model_cfg": {"text_cfg": text}}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert stated_end(tmp_path / "config.json", layout) == end
