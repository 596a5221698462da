"""Videos and files of several pictures, frame by frame."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.inspection.brightness import detector, grey
from vlmad_jax.inspection.judged import Key
from vlmad_jax.inspection.video import frames_told, has_frames, is_picture_or_video, judge_frames

LEVELS = [16, 40, 80, 120, 160, 200, 235]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven grey frames of 64 x 48 pixels."""
    path = tmp_path_factory.mktemp("video") / "line.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in LEVELS:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_each_frame_of_a_video_is_judged(video: Path):
    found = list(judge_frames(detector(batch_size=3), str(video)))
    assert [judged.key for judged in found] == [Key(str(video), k) for k in range(7)]
    scores = [judged.result.image * 255 for judged in found if judged.result]
    np.testing.assert_allclose(scores, LEVELS, atol=4)  # coded in 8 bits of luma
    assert all(judged.result.size == (48, 64) for judged in found if judged.result)
    assert frames_told(str(video)) == 7


def test_a_video_that_was_cut_tells_what_is_there(video: Path, tmp_path: Path):
    broken = tmp_path / "cut.mp4"
    broken.write_bytes(video.read_bytes()[:200])
    (tmp_path / "empty.avi").touch()
    for path in (broken, tmp_path / "empty.avi"):
        (judged,) = judge_frames(detector(), str(path))
        assert judged.error.startswith("does not decode (")
        assert frames_told(str(path)) is None


def test_a_video_without_the_library_is_told(video: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (judged,) = judge_frames(detector(), str(video))
    assert judged.error == "videos need the package av; install it by pip install 'vlmad-jax[video]'"


@pytest.mark.parametrize("name", ["a.gif", "a.tif"])
def test_pages_are_frames(tmp_path: Path, name: str):
    pages = [grey(level) for level in (10, 100, 250)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    grey(10, tmp_path / "single.tif")
    found = list(judge_frames(detector(batch_size=2), str(tmp_path / name)))
    assert [judged.key.frame for judged in found] == [0, 1, 2]
    np.testing.assert_allclose([j.result.image * 255 for j in found if j.result], [10, 100, 250], atol=1)
    assert frames_told(str(tmp_path / name)) == 3
    assert has_frames(str(tmp_path / name))
    assert not has_frames(str(tmp_path / "single.tif"))
    assert not has_frames(str(tmp_path / "none.tif"))


def test_a_page_that_is_broken_ends_it(tmp_path: Path):
    pages = [Image.effect_noise((60, 60), 50) for _ in range(3)]
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    with Image.open(path) as file:
        file.seek(1)
        (start, *_), (length, *_) = file.tag_v2[273], file.tag_v2[279]  # StripOffsets, StripByteCounts
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes([255]) * length
    path.write_bytes(content)
    found = list(judge_frames(detector(), str(path)))
    assert [bool(judged.error) for judged in found] == [False, True]


def test_names():
    assert all(is_picture_or_video(Path(name)) for name in ("a.MP4", "b.png", "c.webm"))
    assert not any(is_picture_or_video(Path(name)) for name in (".a.mp4", "b.txt", "mp4"))
