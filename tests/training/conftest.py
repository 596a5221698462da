"""What is made once for all tests of training."""

from typing import Any

import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining.captions import train_tokenizer


@pytest.fixture(scope="package")
def tokenizer() -> Any:
    """The tokenizer of pretraining."""
    return train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
