"""Digests of the contents of files, and the digests that the cache stores."""

import os
import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vlmad_jax.runtime import contents
from vlmad_jax.runtime.contents import digest, digests, signature

# XXH3 of 128 bits of nothing.
NOTHING = "99aa06d3014798d86001c324468d497f"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of files that were read."""
    paths: list[str] = []

    def counted(path: str) -> str:
        paths.append(path)
        return digest(path)

    monkeypatch.setattr(contents, "digest", counted)
    return paths


def old(path: Path, content: bytes) -> str:
    """Write a file whose modification time is an hour ago."""
    path.write_bytes(content)
    os.utime(path, (time.time() - 3600,) * 2)
    return str(path)


def test_digests_are_of_contents(tmp_path: Path) -> None:
    paths = [
        old(tmp_path / name, x) for name, x in (("a", b""), ("b", b"abc" * 10**6), ("c", b"abc" * 10**6))
    ]
    found = digests([*paths, str(tmp_path / "none"), str(tmp_path)])
    assert found[0] == NOTHING
    assert found[1] == found[2] != found[0]
    assert found[3:] == ["", ""]
    assert digests([]) == []


def test_an_unchanged_file_is_not_read_again(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0.0)
    paths = [old(tmp_path / f"{number}.png", b"%d" % number) for number in range(3)]
    first = digests(paths)
    assert sorted(read) == sorted(paths)
    assert digests(paths) == first
    assert len(read) == 3
    old(Path(paths[1]), b"other")
    assert digests(paths)[1] != first[1]
    assert read[3:] == [paths[1]]


def test_swapped_files_are_read_again(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of one archive can have the same sizes and times."""
    monkeypatch.setattr(contents, "SETTLED", 0.0)
    a, b = (old(tmp_path / name, content) for name, content in (("a.png", b"1"), ("b.png", b"2")))
    for path in (a, b):
        os.utime(path, ns=(10**18, 10**18))
    first = digests([a, b])
    os.rename(a, tmp_path / "c")
    os.rename(b, a)
    os.rename(tmp_path / "c", b)
    assert digests([a, b]) == first[::-1]
    assert len(read) == 4


def test_a_file_that_just_changed_is_not_stored(tmp_path: Path, read: list[str]) -> None:
    path = str(tmp_path / "a.png")
    Path(path).write_bytes(b"1")
    assert digests([path]) == digests([path])
    assert len(read) == 2


def test_a_file_that_changes_while_it_is_read_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0.0)
    path = old(tmp_path / "a.png", b"1")
    before = signature(path)
    old(tmp_path / "a.png", b"2")
    with contents.open_digest_store() as store:
        store.add(path, before, "of what was there")
    with contents.open_digest_store() as store:
        assert store.get(path, signature(path)) is None


def test_the_oldest_digests_are_removed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0.0)
    monkeypatch.setattr(contents, "MOST_FILES", 2)
    paths = [old(tmp_path / name, b"1") for name in "abc"]
    for path in paths:
        digests([path])
    with contents.open_digest_store() as store:
        assert [store.get(path, signature(path)) is None for path in paths] == [True, False, False]


def test_a_damaged_or_impossible_database_is_ignored(tmp_path: Path, cache: Path) -> None:
    path = old(tmp_path / "a.png", b"1")
    cache.mkdir()
    (cache / "contents.sqlite").write_bytes(b"no database" * 1000)
    assert digests([path]) == [digest(path)]
    with sqlite3.connect(cache / "contents.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (0,)
    shutil.rmtree(cache)
    cache.write_text("no folder")
    assert digests([path]) == [digest(path)]


def test_concurrent_readers_share_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SETTLED", 0.0)
    paths = [old(tmp_path / str(number), b"%d" % number) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(digests, [paths] * 8))
    assert found == [[digest(path) for path in paths]] * 8
