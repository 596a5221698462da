"""Images are answered as they come, once each, and when they are whole."""

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inspection.brightness import SIDE, detector, grey
from vlmad_jax import InputError
from vlmad_jax.data.pipeline import ReadImage
from vlmad_jax.inspection import live
from vlmad_jax.inspection.live import images_from_lines, score_live, watch
from vlmad_jax.inspection.stream import ScoredImage
from vlmad_jax.runtime.contents import digest

READ = ReadImage((SIDE, SIDE))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL", 0.02)
    monkeypatch.setattr(live, "PATIENCE", 0.4)


def names(scored: Iterator[ScoredImage]) -> dict[str, bool | str]:
    """The answer for each name: whether it is bad, or why it failed. No name may have two."""
    found: dict[str, bool | str] = {}
    for answer in scored:
        name = Path(answer.key.path).name
        assert name not in found
        found[name] = answer.error if answer.result is None else answer.result.bad
    return found


def test_lines_are_answered_one_by_one(tmp_path: Path):
    odd = os.fsdecode(b"odd \xff name.png")
    grey(200, tmp_path / "a.png")
    grey(20, tmp_path / odd)
    answered: list[str] = []

    class Lines:
        """The next line is only written once the one before was answered."""

        def __iter__(self) -> Iterator[bytes]:
            for number, name in enumerate(("a.png", "none.png", odd)):
                assert len(answered) == number
                yield os.fsencode(tmp_path / name) + b"\r\n"
                yield b"\n"

    results = []
    for answer in score_live(detector(batch_size=1), images_from_lines(Lines(), READ)):
        answered.append(answer.key.path)
        results.append(answer.error if answer.result is None else answer.result.bad)
    assert results == [True, "no such image", False]
    assert answered == [str(tmp_path / name) for name in ("a.png", "none.png", odd)]
    assert list(images_from_lines(io.BytesIO(b""), READ)) == []


def test_a_folder_is_followed_while_it_fills(tmp_path: Path):
    camera = tmp_path / "camera"
    grey(10, camera / "first.png")
    grey(10, camera / "done.png")
    whole = tmp_path / "whole.png"
    grey(255, whole, size=(200, 200))
    content = whole.read_bytes()

    def fill() -> None:
        time.sleep(0.1)
        grey(200, camera / "sub/second.png")
        (camera / "notes.txt").write_text("exposure")
        with open(camera / "slow.png", "wb", buffering=0) as file:
            for part in (content[:50], content[50:300], content[300:]):
                file.write(part)
                time.sleep(0.15)
        (camera / "never.png").write_bytes(content[:100])

    writer = threading.Thread(target=fill)
    writer.start()
    arrivals = watch(
        camera, READ, done={str(camera / "done.png"): digest(camera / "done.png")}, idle_seconds=0.8
    )
    found = names(score_live(detector(batch_size=1), arrivals))
    writer.join()
    assert found["never.png"].startswith("does not decode")
    assert found["notes.txt"] == "is not an image by its name (.txt)"
    assert {k: x for k, x in found.items() if k not in ("never.png", "notes.txt")} == {
        "first.png": False,
        "second.png": True,
        "slow.png": True,
    }


def test_a_file_that_is_written_again_is_answered_again(tmp_path: Path):
    """A camera whose counter wraps writes names again; a file written with the same pixels is not new."""
    camera = tmp_path / "camera"
    grey(10, camera / "a.png")
    grey(10, camera / "b.png")
    done = {str(camera / name): digest(camera / name) for name in ("a.png", "b.png")}
    grey(200, camera / "b.png")  # since it was scored
    arrivals = score_live(detector(batch_size=1), watch(camera, READ, done, idle_seconds=5))

    def bad() -> tuple[str, bool]:
        scored = next(arrivals)
        assert scored.result is not None
        return Path(scored.key.path).name, scored.result.bad

    assert bad() == ("b.png", True)
    grey(210, camera / "a.png")
    assert bad() == ("a.png", True)
    os.utime(camera / "b.png")
    for level in (10, 250):
        grey(level, tmp_path / "new.png")
        os.replace(tmp_path / "new.png", camera / "a.png")
        assert bad() == ("a.png", level == 250)
    (camera / "a.png").unlink()
    time.sleep(0.1)
    grey(20, camera / "a.png")
    assert bad() == ("a.png", False)
    (camera / "a.png").write_bytes(b"broken")
    assert next(arrivals).error.startswith("does not decode")
    grey(250, camera / "a.png")
    assert bad() == ("a.png", True)


def test_each_image_of_a_file_is_answered(tmp_path: Path):
    pages = [grey(level) for level in (10, 250)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    for arrivals in (
        watch(tmp_path, READ, idle_seconds=0.1),
        images_from_lines([os.fsencode(tmp_path / "a.tif")], READ),
    ):
        found = [(scored.key.frame, scored.result) for scored in score_live(detector(), arrivals)]
        assert [(frame, result.bad) for frame, result in found if result] == [(0, False), (1, True)]


def test_what_is_waited_for_keeps_it_from_ending(tmp_path: Path):
    (tmp_path / "empty.png").touch()
    began = time.monotonic()
    found = names(score_live(detector(batch_size=1), watch(tmp_path, READ, idle_seconds=0.05)))
    assert found["empty.png"].startswith("does not decode")
    assert time.monotonic() - began >= live.PATIENCE


def test_a_folder_that_is_away_for_a_while_is_waited_for(tmp_path: Path):
    camera = tmp_path / "camera"
    grey(200, camera / "a.png")
    arrivals = watch(camera, READ, idle_seconds=1.0)
    assert next(arrivals)[0].path == str(camera / "a.png")
    camera.rename(tmp_path / "away")
    grey(200, tmp_path / "away/b.png")
    threading.Timer(0.2, (tmp_path / "away").rename, [camera]).start()
    assert [Path(key.path).name for key, _ in arrivals] == ["b.png"]
    with pytest.raises(InputError, match="nowhere: no such folder"):
        next(watch(tmp_path / "nowhere", READ))


def test_results_among_the_images_are_passed_over(tmp_path: Path):
    grey(200, tmp_path / "a.png")
    grey(200, tmp_path / "out/maps/a.png.png")
    arrivals = watch(tmp_path, READ, without=tmp_path / "out", idle_seconds=0.1)
    assert [Path(key.path).name for key, _ in arrivals] == ["a.png"]
