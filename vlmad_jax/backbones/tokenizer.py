"""The checkpoint's own tokenizer, and sentences to token ids."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from vlmad_jax.backbones.library import transformers
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.pickling import PickleFieldsOnly

# Sentences are padded to a multiple of this many tokens, so that few lengths are compiled.
LENGTH_STEP = 16
# A tokenizer with a smaller fraction of a model's vocabulary is not the model's, because paddings are
# smaller.
LEAST_SHARED = 0.5
# The files of a tokenizer in a checkpoint's directory.
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
# The special tokens of CLIP's tokenizer, unless its files name others.
END = "<|endoftext|>"
KNOWN = {"bos_token": "<|startoftext|>", "eos_token": END, "unk_token": END}


@dataclass(frozen=True)
class SavedTokenizer(PickleFieldsOnly):
    """The transformers tokenizer of a checkpoint's directory.

    It is loaded on first use, because the transformers library takes a second to import.
    """

    directory: pathlib.Path

    @functools.cached_property
    def loaded(self) -> Any:
        """The tokenizer; InputError if its files are damaged."""
        with raising_input_errors(self.directory):
            repaired = {name: token for name, (token, plain) in self.named.items() if not plain}
            return transformers().CLIPTokenizer.from_pretrained(self.directory, **repaired)

    @functools.cached_property
    def named(self) -> dict[str, tuple[str, bool]]:
        """The special tokens in `KNOWN` by role, and whether transformers reads the file's entry unchanged.

        An entry may be absent, null, or an object with the token's "content".
        """
        entries: dict[str, Any] = {}
        for path in (self.directory / name for name in ("tokenizer_config.json", "special_tokens_map.json")):
            if path.exists():
                entries |= json.loads(path.read_text(encoding="utf-8"))
        return {name: token_name(entries.get(name, usual), usual) for name, usual in KNOWN.items()}

    @property
    def bos_token_id(self) -> int:
        """The id of the token that starts a sentence."""
        return self.loaded.bos_token_id

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer of the tokenizers library."""
        return self.loaded.backend_tokenizer

    def convert_ids_to_tokens(self, token_id: int) -> str:
        """Return the token of an id."""
        return self.loaded.convert_ids_to_tokens(token_id)

    def __call__(self, sentences: Sequence[str], **options: Any) -> Any:
        """Return the tokenizer's output for sentences."""
        return self.loaded(sentences, **options)

    def save_pretrained(self, directory: str | pathlib.Path) -> None:
        """Write the tokenizer's files."""
        self.loaded.save_pretrained(directory)

    @functools.cached_property
    def digest(self) -> str:
        """64 hexadecimal digits that change with the tokenizer's files and the libraries that read them."""
        digest = hashlib.sha256(repr([version(name) for name in ("transformers", "tokenizers")]).encode())
        for path in (self.directory / name for name in FILES):
            if path.exists():
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    @functools.cached_property
    def fast(self) -> Tokenizer | None:
        """The tokenizer of `tokenizer.json`, without the transformers library; None if there is no file."""
        path = self.directory / "tokenizer.json"
        with raising_input_errors(self.directory):
            return Tokenizer.from_file(str(path)) if path.exists() else None

    def size_and_end(self) -> tuple[int, int | None]:
        """Return the number of tokens, and the id of the end token.

        Raises:
          InputError: The files are damaged.
        """
        if self.fast is None:
            return len(self.loaded), self.loaded.eos_token_id
        with raising_input_errors(self.directory):
            return self.fast.get_vocab_size(), self.fast.token_to_id(self.named["eos_token"][0])


def token_name(value: Any, usual: str) -> tuple[str, bool]:
    """Return the token of a file's entry, and whether transformers reads the entry unchanged."""
    if isinstance(value, dict):
        return str(value.get("content") or usual), value.get("__type") == "AddedToken"
    return (value, True) if isinstance(value, str) else (usual, False)


@contextlib.contextmanager
def raising_input_errors(directory: pathlib.Path) -> Iterator[None]:
    """Turn any error of a tokenizer's damaged files into an InputError."""
    try:
        yield
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        reason = str(error).splitlines()[0]
        raise InputError(f"{directory}: its tokenizer does not load ({reason}); download it again") from error


def load_tokenizer(directory: pathlib.Path, vocab_size: int, end: int | None) -> tuple[SavedTokenizer, int]:
    """Load the tokenizer of a checkpoint, and return the id of its end token too.

    The tokenizer and the model may differ in a few tokens, because vocabularies are padded and tokens are
    added.

    Args:
      directory: The checkpoint's directory.
      vocab_size: The size of the model's vocabulary.
      end: The end token in the model's configuration, or None if it states none.

    Raises:
      InputError: The directory has no tokenizer, a damaged one, or one of another model.
    """
    if not any((directory / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise InputError(f"{directory}: has no tokenizer.json; copy the one of the model it was made from")
    tokenizer = SavedTokenizer(directory)
    size, own = tokenizer.size_and_end()
    unlike = end is None and size <= vocab_size * LEAST_SHARED
    if own is None or own >= vocab_size or own != (own if end is None else end) or unlike:
        raise InputError(
            f"{directory}: its tokenizer has {size} tokens and ends with {own}, "
            f"the model {vocab_size} and {vocab_size - 1 if end is None else end}; copy the model's own"
        )
    return tokenizer, own


def tokenize(tokenizer: Any, sentences: Sequence[str], context_length: int, length: int = 0) -> np.ndarray:
    """Return the token ids of N sentences, int32 (N, T), truncated to the context length and padded.

    T is `length`, or that of the longest sentence rounded up to a multiple of 16. The padding changes
    nothing, because CLIP's output is that at the end token, which attends to earlier tokens alone. A
    truncated sentence keeps its end token.
    """
    rows = tokenizer(list(sentences), truncation=True, max_length=context_length)["input_ids"]
    longest = max(len(row) for row in rows)
    length = length or min(-(-longest // LENGTH_STEP) * LENGTH_STEP, context_length)
    token_ids = np.zeros((len(rows), length), np.int32)
    for row, tokens in zip(token_ids, rows, strict=True):
        row[: len(tokens)] = tokens
    return token_ids


def truncated_sentences(tokenizer: Any, sentences: Sequence[str], context_length: int) -> list[str]:
    """Return the sentences of more tokens than the context length."""
    # The tokenizer is not loaded for sentences that are short enough whatever their tokens are.
    long = [sentence for sentence in sentences if token_bound(sentence) > context_length]
    if not long:
        return []
    rows = tokenizer(long, truncation=True, max_length=context_length + 1)["input_ids"]
    return [sentence for sentence, row in zip(long, rows, strict=True) if len(row) > context_length]


def token_bound(sentence: str) -> int:
    """Return an upper bound of a sentence's tokens: one for each byte after normalising, start and end."""
    return len(unicodedata.normalize("NFC", sentence).lower().encode("utf-8", "surrogatepass")) + 2


def check_tokens(
    tokenizer: Any, sentences: Sequence[str], token_ids: np.ndarray, vocab_size: int, end: int, name: str
) -> None:
    """Check that a model has embeddings of all tokens, and that each sentence has an end token.

    Raises:
      InputError: They are missing; the message names the sentence and the model `name`.
    """
    for sentence, row in zip(sentences, token_ids, strict=True):
        if row.max() >= vocab_size:
            token = tokenizer.convert_ids_to_tokens(int(row.max()))
            raise InputError(
                f"{name}: {shortened(sentence)} has the token {token!r} of id {row.max()}, but the model has "
                f"embeddings of {vocab_size} tokens; remove it, or copy the model's own tokenizer"
            )
        if end not in row:
            raise InputError(
                f"{name}: its tokenizer ends {shortened(sentence)} without the model's end token {end}; "
                "copy the model's own tokenizer"
            )


def shortened(sentence: str, most: int = 80) -> str:
    """Return a sentence in quotes on one line, without its middle if it is long."""
    half = (most - 3) // 2
    return repr(sentence if len(sentence) <= most else f"{sentence[:half]}...{sentence[-half:]}")
