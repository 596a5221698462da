"""Arrays that are cached between runs, and fingerprints."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vlmad_jax.runtime.cache import cache_enabled, cache_folder, cached_array, fingerprint

ROOMY = 2**20
ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/numbers"


def refuse() -> np.ndarray:
    raise AssertionError("is cached, but computed again")


def test_an_array_is_computed_once(folder):
    assert cached_array("numbers", "a", ROOMY, lambda: ARRAY) is ARRAY
    kept = cached_array("numbers", "a", ROOMY, refuse)
    np.testing.assert_array_equal(kept, ARRAY, strict=True)
    np.testing.assert_array_equal(np.load(folder / "a.npy"), ARRAY, strict=True)
    assert cached_array("numbers", "b", ROOMY, lambda: ARRAY + 1)[0, 0] == 1
    assert cached_array("others", "a", ROOMY, lambda: ARRAY + 2)[0, 0] == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content[:140],
        lambda content: content[:130] + bytes([content[130] ^ 1]) + content[131:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["empty", "shorter", "half", "a bit of the numbers", "a bit of the digest"],
)
def test_a_damaged_file_is_computed_and_written_again(folder, damage):
    cached_array("numbers", "a", ROOMY, lambda: ARRAY)
    path = folder / "a.npy"
    path.write_bytes(damage(path.read_bytes()))
    assert cached_array("numbers", "a", ROOMY, lambda: ARRAY) is ARRAY
    np.testing.assert_array_equal(cached_array("numbers", "a", ROOMY, refuse), ARRAY)


def test_the_least_recently_used_files_are_removed_first(folder):
    for key in ("first", "second", "third"):
        cached_array("numbers", key, ROOMY, lambda: ARRAY)
        (folder / f"{key}.npy").touch()
    size = (folder / "first.npy").stat().st_size
    cached_array("numbers", "first", ROOMY, refuse)  # used again
    cached_array("numbers", "fourth", 3 * size, lambda: ARRAY)
    assert {path.stem for path in folder.iterdir()} == {"first", "third", "fourth"}


def test_an_unwritable_cache_is_ignored(folder):
    folder.parent.mkdir()
    folder.touch()
    for _ in range(2):
        assert cached_array("numbers", "a", ROOMY, lambda: ARRAY) is ARRAY


def test_concurrent_readers_find_whole_arrays(folder):
    large = np.random.default_rng(0).random((500, 500))

    def fetch(number: int) -> np.ndarray:
        return cached_array("numbers", str(number % 2), large.nbytes * 3 // 2, lambda: large + number % 2)

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(fetch, range(40))):
            np.testing.assert_array_equal(found, large + number % 2)


def test_the_folder_and_the_switch(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    assert not cache_enabled()  # as in all tests
    monkeypatch.delenv("VLMAD_JAX_KEEP")
    assert cache_enabled()
    monkeypatch.delenv("VLMAD_JAX_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/vlmad_jax"


def test_a_fingerprint_joins_its_parts():
    expected = hashlib.sha256("größe".encode() + b"\0\xff").hexdigest()[:16]
    assert fingerprint(["größe", b"\0\xff"]) == expected
