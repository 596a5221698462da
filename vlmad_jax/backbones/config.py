"""The shape of a CLIP model, from a transformers or an open_clip configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from vlmad_jax.backbones import preprocessing
from vlmad_jax.backbones.checkpoints.open_clip import plain_vit
from vlmad_jax.backbones.preprocessing import OPENAI_MEAN, OPENAI_STD
from vlmad_jax.backbones.text_transformer import TextTransformerConfig
from vlmad_jax.backbones.vit import ViTConfig
from vlmad_jax.errors import InputError

ACTIVATIONS = ("quick_gelu", "gelu")


@dataclass(frozen=True)
class VisionConfig:
    """The vision transformer, for images of `image_size` pixels a side and patches of `patch_size`."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    image_size: int
    patch_size: int

    @property
    def grid(self) -> int:
        """The number of patches a side at the trained image size."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class TextConfig:
    """The text transformer, whose output is that at the first `eos_token_id`."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    vocab_size: int
    context_length: int
    eos_token_id: int


@dataclass(frozen=True)
class CLIPConfig:
    """A CLIP ViT, with activation "quick_gelu" (OpenAI) or "gelu" (exact; open_clip's default).

    Attributes:
      activations: The activations that the family has.
      start_tokens: The number of tokens before a sentence's own.
    """

    vision: VisionConfig
    text: TextConfig
    embed_dim: int
    activation: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    image_mean: tuple[float, float, float] = OPENAI_MEAN
    image_std: tuple[float, float, float] = OPENAI_STD

    activations: ClassVar[tuple[str, ...]] = ACTIVATIONS
    start_tokens: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.activation not in self.activations:
            raise InputError(f"activation {self.activation!r} is not one of {', '.join(self.activations)}")
        if not isinstance(self.layer_norm_eps, float) or not 0 < self.layer_norm_eps < 1:
            raise InputError(f"layer_norm_eps {self.layer_norm_eps!r} is not a number between 0 and 1")
        check_size("embed_dim", self.embed_dim)
        for name, tower in (("vision", self.vision), ("text", self.text)):
            for field, size in dataclasses.asdict(tower).items():
                check_size(f"{name} {field}", size)
            if tower.width % tower.heads:
                raise InputError(f"{name} width {tower.width} does not divide into {tower.heads} heads")

    def vit(self, position_resize: str = "bicubic") -> ViTConfig:
        """Return the shape of the vision transformer, with a rule for resizing positions."""
        vision = self.vision
        return ViTConfig(
            vision.width,
            vision.layers,
            vision.heads,
            vision.mlp_width,
            self.activation,
            self.layer_norm_eps,
            image_size=vision.image_size,
            patch_size=vision.patch_size,
            image_mean=self.image_mean,
            image_std=self.image_std,
            embed_dim=self.embed_dim,
            position_resize=position_resize,
            pre_norm=True,
        )

    @property
    def text_transformer(self) -> TextTransformerConfig:
        """The shape of the text transformer."""
        text = self.text
        return TextTransformerConfig(
            text.width,
            text.layers,
            text.heads,
            text.mlp_width,
            self.activation,
            self.layer_norm_eps,
            vocab_size=text.vocab_size,
            context_length=text.context_length,
            eos_token_id=text.eos_token_id,
            embed_dim=self.embed_dim,
        )


def check_size(name: str, size: object) -> None:
    """Check that a size is a positive whole number.

    Raises:
      InputError: It is not.
    """
    if not isinstance(size, int) or size < 1:
        raise InputError(f"{name} {size!r} is not a positive whole number")


def vit(
    image_size: int,
    patch_size: int,
    vision: tuple[int, int, int],
    text: tuple[int, int, int],
    embed_dim: int,
    activation: str,
) -> CLIPConfig:
    """Return a shape with MLPs four times as wide; `vision` and `text` are (width, layers, heads)."""
    vision_width, vision_layers, vision_heads = vision
    text_width, text_layers, text_heads = text
    return CLIPConfig(
        VisionConfig(vision_width, vision_layers, vision_heads, 4 * vision_width, image_size, patch_size),
        TextConfig(text_width, text_layers, text_heads, 4 * text_width, 49408, 77, 49407),
        embed_dim,
        activation,
    )


ARCHITECTURES = {
    "vit-b-32": vit(224, 32, (768, 12, 12), (512, 12, 8), 512, "quick_gelu"),
    "vit-b-16": vit(224, 16, (768, 12, 12), (512, 12, 8), 512, "quick_gelu"),
    "vit-b-16-plus-240": vit(240, 16, (896, 12, 14), (640, 12, 10), 640, "gelu"),
    "vit-l-14": vit(224, 14, (1024, 24, 16), (768, 12, 12), 768, "quick_gelu"),
    "vit-l-14-336": vit(336, 14, (1024, 24, 16), (768, 12, 12), 768, "quick_gelu"),
    "vit-h-14": vit(224, 14, (1280, 32, 16), (1024, 24, 16), 1024, "gelu"),
}


@contextlib.contextmanager
def reading(path: pathlib.Path, what: str) -> Iterator[None]:
    """Turn the errors of reading a configuration file, which is not that of `what`, into an InputError."""
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); download it again") from error
    except KeyError as error:
        raise InputError(f"{path}: the entry {error} is missing; this is not the file of a {what}") from error
    except (AttributeError, TypeError, ArithmeticError) as error:  # 0, a list or a number in a wrong place
        raise InputError(f"{path}: {error}; this is not the file of a {what}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_config(path: pathlib.Path, layout: str) -> CLIPConfig:
    """Read a configuration file, and for transformers the files beside it that describe images.

    Args:
      path: `config.json` of transformers or `open_clip_config.json`.
      layout: "transformers" or "open_clip".

    Raises:
      InputError: A file is not JSON, or describes another model or preprocessing than that of a CLIP ViT.
    """
    with reading(path, "CLIP ViT"):
        raw = json.loads(path.read_text(encoding="utf-8"))
        config = {"transformers": from_transformers, "open_clip": from_open_clip}[layout](raw)
    if layout == "open_clip":
        resizing = (raw.get("preprocess_cfg") or {}).get("interpolation")
        preprocessing.check_filter(path, "preprocess_cfg interpolation", resizing, "bicubic")
        return config
    normalisation = preprocessing.read_normalisation(path.parent)
    return dataclasses.replace(config, image_mean=normalisation.mean, image_std=normalisation.std)


# transformers' defaults of absent entries.
SHARED_DEFAULTS: dict[str, Any] = {
    "num_hidden_layers": 12,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
VISION_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    **SHARED_DEFAULTS,
}
TEXT_DEFAULTS: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
    **SHARED_DEFAULTS,
}
EMBED_DIM_DEFAULT = 512
# Values of `eos_token_id` that state no end token. Old exports have 2, and transformers then uses the highest
# id.
UNSTATED = (2, None)


def from_transformers(raw: dict[str, Any]) -> CLIPConfig:
    """Convert the contents of a transformers `config.json`, with transformers' defaults of absent entries.

    transformers itself takes a second to import.

    Raises:
      InputError: It is not the configuration of a CLIP.
    """
    if raw.get("model_type") != "clip":
        raise InputError(f"model_type {raw.get('model_type')!r} is not 'clip'; give a CLIP checkpoint")
    vision = VISION_DEFAULTS | given(raw, "vision_config")
    text = TEXT_DEFAULTS | given(raw, "text_config")
    if any(vision[name] != text[name] for name in ("hidden_act", "layer_norm_eps")):
        raise InputError(
            "vision and text differ in hidden_act or layer_norm_eps, which no published CLIP does"
        )
    # The highest id, unless the tokenizer says otherwise, see `stated_end`.
    eos = text["vocab_size"] - 1 if text["eos_token_id"] in UNSTATED else text["eos_token_id"]
    return CLIPConfig(
        VisionConfig(
            vision["hidden_size"],
            vision["num_hidden_layers"],
            vision["num_attention_heads"],
            vision["intermediate_size"],
            vision["image_size"],
            vision["patch_size"],
        ),
        TextConfig(
            text["hidden_size"],
            text["num_hidden_layers"],
            text["num_attention_heads"],
            text["intermediate_size"],
            text["vocab_size"],
            text["max_position_embeddings"],
            eos,
        ),
        raw.get("projection_dim", EMBED_DIM_DEFAULT),
        vision["hidden_act"],
        vision["layer_norm_eps"],
    )


def given(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a tower's entries; those under the name with `_dict`, in old exports, take precedence."""
    old = raw.get(f"{name}_dict")
    entries = (raw.get(name) or {}) if old is None else old
    if not isinstance(entries, dict):
        raise InputError(f"{name} {entries!r} is not an object; this is not the file of a CLIP ViT")
    return entries


def to_transformers(config: CLIPConfig) -> dict[str, Any]:
    """Return the contents of a transformers `config.json`, the inverse of `from_transformers`."""
    shared = {
        "hidden_act": config.activation,
        "layer_norm_eps": config.layer_norm_eps,
        "projection_dim": config.embed_dim,
    }

    def tower(part: VisionConfig | TextConfig) -> dict[str, Any]:
        return {
            "hidden_size": part.width,
            "intermediate_size": part.mlp_width,
            "num_hidden_layers": part.layers,
            "num_attention_heads": part.heads,
            **shared,
        }

    text = {
        "model_type": "clip_text_model",
        **tower(config.text),
        "vocab_size": config.text.vocab_size,
        "max_position_embeddings": config.text.context_length,
        "bos_token_id": config.text.eos_token_id - 1,
        "eos_token_id": config.text.eos_token_id,
        "pad_token_id": config.text.eos_token_id,
    }
    vision = {
        "model_type": "clip_vision_model",
        **tower(config.vision),
        "image_size": config.vision.image_size,
        "patch_size": config.vision.patch_size,
    }
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": config.embed_dim,
        "text_config": text,
        "vision_config": vision,
    }


def from_open_clip(raw: dict[str, Any]) -> CLIPConfig:
    """Convert the contents of an `open_clip_config.json` whose towers are plain ViTs."""
    model = raw["model_cfg"]
    vision, text = plain_vit(model)
    normalisation = preprocessing.from_open_clip(raw.get("preprocess_cfg"))
    return CLIPConfig(
        VisionConfig(
            vision["width"],
            vision["layers"],
            vision["width"] // vision["head_width"],
            int(vision["width"] * vision["mlp_ratio"]),
            vision["image_size"],
            vision["patch_size"],
        ),
        TextConfig(
            text["width"],
            text["layers"],
            text["heads"],
            int(text["width"] * text["mlp_ratio"]),
            text["vocab_size"],
            text["context_length"],
            text["vocab_size"] - 1,
        ),
        model["embed_dim"],
        "quick_gelu" if model.get("quick_gelu") else "gelu",
        image_mean=normalisation.mean,
        image_std=normalisation.std,
    )


def stated_end(path: pathlib.Path, layout: str) -> int | None:
    """Return the id of the end token in a configuration file, or None if it states none.

    transformers' published configurations state 2, and open_clip's nothing. The end token is then the highest
    id, unless a token was added after it.
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    if layout == "open_clip":
        text = raw["model_cfg"]["text_cfg"]
        return text.get("eos_id", 2) if text.get("pool_type") == "eos" else None
    end = given(raw, "text_config").get("eos_token_id")
    return None if end in UNSTATED else end
