"""Complete tiny checkpoints of SigLIP for tests: random tensors, and tokenizers of a few words."""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from vlmad_jax.backbones.checkpoints.key_tables import TRANSFORMS
from vlmad_jax.backbones.checkpoints.tensors import write_safetensors
from vlmad_jax.backbones.preprocessing import Normalisation
from vlmad_jax.backbones.siglip import both_towers, shapes_of, tensor_table, vision_config

TOWER = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = TOWER | {"image_size": 32, "patch_size": 8}
TEXT = TOWER | {"vocab_size": 64, "max_position_embeddings": 32}
PROCESSOR = {"image_processor_type": "SiglipImageProcessor", "resample": 3}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["▁a", "▁the", "▁photo", "▁of", "▁nut", "▁flawless", "▁perfect", "▁damaged", "▁with", "▁without"]


def write_siglip(directory: Path, tokenizer: str = "unigram", seed: int = 0) -> Path:
    """Write a SigLIP with both towers, and a tokenizer "unigram" or "gemma"."""
    config = {"model_type": "siglip", "text_config": TEXT, "vision_config": VISION}
    write_json(directory / "config.json", config)
    write_random(directory, both_towers(config, Normalisation()), seed)
    {"unigram": write_unigram, "gemma": write_gemma}[tokenizer](directory)
    return directory


def write_vision(directory: Path, head: bool = True, seed: int = 0) -> Path:
    """Write the vision tower of a SigLIP alone, with the names of tensors that older versions store."""
    config = {"model_type": "siglip_vision_model", **VISION, "vision_use_head": head}
    write_json(directory / "config.json", config)
    write_random(directory, vision_config(config, Normalisation()), seed, "vision_model.")
    return directory


def write_random(directory: Path, config, seed: int, prefix: str = "") -> None:
    """Write `model.safetensors` with random tensors of a configuration, and `preprocessor_config.json`."""
    rng, shapes, patch_size = np.random.default_rng(seed), shapes_of(config), VISION["patch_size"]
    tensors = {}
    for path, (name, kind) in tensor_table(config).items():
        shape = TRANSFORMS[kind].shape(shapes[path], patch_size)
        start = 1.0 if path.endswith("ln_1/scale") or name == "logit_scale" else 0.0
        tensors[prefix + name] = (start + 0.3 * rng.standard_normal(shape)).astype(np.float32)
    write_safetensors(directory / "model.safetensors", tensors)
    write_json(directory / "preprocessor_config.json", PROCESSOR)


def write_unigram(directory: Path) -> None:
    """Write the tokenizer of the first SigLIP: pieces of words with their scores."""
    known = ["<pad>", "</s>", "<unk>", *WORDS, "▁", *LETTERS]
    scores = [
        (piece, 0.0 if n < 3 else -2.0 if n < 3 + len(WORDS) else -8.0) for n, piece in enumerate(known)
    ]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>"}
    )


def write_gemma(directory: Path) -> None:
    """Write the tokenizer of SigLIP 2: merges of letters; its file does not ask for lower case."""
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "▁", *LETTERS, "nu", "nut", "ph", "of", "▁nut"]
    merges = [("n", "u"), ("nu", "t"), ("p", "h"), ("o", "f"), ("▁", "nut")]
    vocabulary = {piece: n for n, piece in enumerate(known)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.post_processor = processors.TemplateProcessing("$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(64)
    tokenizer.save(str(directory / "tokenizer.json"))
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "GemmaTokenizer", **special})


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
