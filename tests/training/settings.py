"""A CLIP so small that its training step compiles in seconds."""

import dataclasses

from vlmad_jax.backbones.config import CLIPConfig, vit


def small_config(vocabulary: int, image_size: int = 32) -> CLIPConfig:
    """Patches of 8 pixels, 4 x 4 in an image, one layer of width 16 in each tower."""
    shape = vit(image_size, 8, (16, 1, 2), (16, 1, 2), 8, "quick_gelu")
    text = dataclasses.replace(shape.text, vocab_size=vocabulary, eos_token_id=vocabulary - 1)
    return dataclasses.replace(shape, text=text)
