"""What is made once for all tests of training."""

from typing import Any

import pytest

from vlmad_jax.data import rendering
from vlmad_jax.training.captions import train_tokenizer


@pytest.fixture(scope="package")
def tokenizer() -> Any:
    """The tokenizer of pretraining."""
    return train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
