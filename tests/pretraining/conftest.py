"""Fixtures that the tests of training share."""

from typing import Any

import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining.captions import train_tokenizer


@pytest.fixture(scope="package")
def tokenizer() -> Any:
    """Return the tokenizer of pretraining."""
    return train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
