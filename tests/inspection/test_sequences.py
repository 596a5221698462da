"""Videos are decoded as a person sees them, and decisions on sequences are smoothed."""

import struct
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.inspection.brightness import detector, grey
from vlmad_jax import InputError
from vlmad_jax.inspection.detector import Decision, Result
from vlmad_jax.inspection.sequences import Smoothing, frame_count, frames_of, is_image_or_video
from vlmad_jax.inspection.stream import Key, ScoredImage, score_files, score_frames

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
    found = list(score_frames(detector(batch_size=3), [str(video)], frames_of))
    assert [scored.key for scored in found] == [Key(str(video), k) for k in range(7)]
    scores = [scored.result.image * 255 for scored in found if scored.result]
    np.testing.assert_allclose(scores, LEVELS, atol=4)  # coded in 8 bits of luma
    assert all(scored.result.size == (48, 64) for scored in found if scored.result)
    assert frame_count(str(video)) == 7


def test_a_video_that_was_cut_tells_what_is_there(video: Path, tmp_path: Path):
    broken = tmp_path / "cut.mp4"
    broken.write_bytes(video.read_bytes()[:200])
    (tmp_path / "empty.avi").touch()
    for path in (broken, tmp_path / "empty.avi"):
        (scored,) = score_frames(detector(), [str(path)], frames_of)
        assert scored.error.startswith("does not decode (")
        assert frame_count(str(path)) is None


def test_a_video_without_the_library_is_told(video: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (scored,) = score_frames(detector(), [str(video)], frames_of)
    assert scored.error == "videos need the package av; install it with pip install 'vlmad-jax[video]'"


@pytest.mark.parametrize("name", ["a.gif", "a.tif"])
def test_pages_are_frames(tmp_path: Path, name: str):
    pages = [grey(level) for level in (10, 100, 250)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    grey(10, tmp_path / "single.tif")
    paths = [str(tmp_path / x) for x in (name, "single.tif", "none.tif")]
    found = list(score_files(detector(batch_size=2), [paths[0], *paths]))
    assert [scored.key for scored in found[:2]] == [Key(paths[1]), Key(paths[2])]
    assert found[1].error == "no such image"
    assert [scored.key for scored in found[2:]] == [Key(paths[0], k) for k in (0, 1, 2)] * 2
    levels = [j.result.image * 255 for j in found if j.result]
    np.testing.assert_allclose(levels, [10, *[10, 100, 250] * 2], atol=1)
    assert [frame_count(path) for path in paths] == [3, 1, None]


def test_smaller_copies_and_masks_are_no_pages(tmp_path: Path):
    """As microscopes and cameras write them, before the image or after it."""
    kinds = ([0, 1, 0, 4], [1, 0], [0, 1])
    levels = ([10, 200, 100, 255], [200, 10], [10, 200])
    for name, kind, level in zip("abc", kinds, levels, strict=True):
        path = tmp_path / f"{name}.tif"
        with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
            for bits, grey_level in zip(kind, level, strict=True):
                grey(grey_level).save(file, "TIFF", tiffinfo={254: bits})
                file.newFrame()
    found = list(score_files(detector(), [str(tmp_path / f"{name}.tif") for name in "abc"]))
    seen = [(Path(j.key.path).name, j.key.frame, round(j.result.image * 255)) for j in found if j.result]
    assert seen == [("b.tif", None, 10), ("c.tif", None, 10), ("a.tif", 0, 10), ("a.tif", 1, 100)]


# Of a display matrix, a, b, c and d, with where the frame's upper left corner is then shown.
SHOWN = {
    (1, 0, 0, 1): "upper left",
    (0, 1, -1, 0): "upper right",  # a quarter with the clock, as telephones held upright write
    (-1, 0, 0, -1): "lower right",
    (0, -1, 1, 0): "lower left",
    (-1, 0, 0, 1): "upper right",
    (1, 0, 0, -1): "lower left",
    (0, 1, 1, 0): "upper left",
    (0, -1, -1, 0): "lower right",
}


def turned(path: Path, matrix: tuple[float, ...], tmp_path: Path) -> Path:
    """The same video with another display matrix in the header of its track."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # version 0: after flags, times, layer and volume
    a, b, c, d = (round(x * 2**16) for x in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    copy = tmp_path / "turned.mp4"
    copy.write_bytes(content)
    return copy


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame of 64 x 48 pixels, black, its upper left quarter white, the part beside it grey."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32], pixels[:24, 32:] = 255, 128
    path = tmp_path_factory.mktemp("video") / "corner.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("matrix", SHOWN)
def test_a_video_is_judged_as_it_is_shown(corner: Path, tmp_path: Path, matrix: tuple[int, ...]):
    (image,) = frames_of(str(turned(corner, matrix, tmp_path)))
    lies = matrix[0] == 0
    assert image.size == ((48, 64) if lies else (64, 48))
    pixels = np.asarray(image.convert("L")).astype(int)
    rows, columns = (slice(None, pixels.shape[axis] // 2) for axis in (0, 1))
    quarters = {
        "upper left": pixels[rows, columns],
        "upper right": pixels[rows, ::-1][:, columns],
        "lower left": pixels[::-1][rows, columns],
        "lower right": pixels[::-1, ::-1][rows, columns],
    }
    assert max(quarters, key=lambda name: quarters[name].mean()) == SHOWN[matrix]
    # What was beside the white quarter is now beside or below it: a mirrored image is no turned one.
    right = "left" in SHOWN[matrix]
    beside = SHOWN[matrix].replace(*(("left", "right") if right else ("right", "left")))
    assert (quarters[beside].mean() > 60) == (not lies)


def test_the_boxes_of_a_turned_video_are_in_its_frame_as_shown(corner: Path, tmp_path: Path):
    (scored,) = score_frames(
        detector(threshold=0.8), [str(turned(corner, (0, 1, -1, 0), tmp_path))], frames_of
    )
    assert scored.result is not None
    assert scored.result.size == (64, 48)
    (box,) = scored.result.boxes
    assert (box.x, box.y, box.x + box.width, box.y + box.height) == (24, 0, 48, 32)


def test_a_video_turned_by_an_odd_angle_is_told(corner: Path, tmp_path: Path):
    (scored,) = score_frames(detector(), [str(turned(corner, (0.7, 0.7, -0.7, 0.7), tmp_path))], frames_of)
    assert scored.error.startswith("its header rotates it by an odd angle; encode it")


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
    found = list(score_frames(detector(), [str(path)], frames_of))
    assert [bool(scored.error) for scored in found] == [False, True]


def test_names():
    assert all(is_image_or_video(Path(name)) for name in ("a.MP4", "b.png", "c.webm"))
    assert not any(is_image_or_video(Path(name)) for name in (".a.mp4", "b.txt", "mp4"))


DECISION = Decision(threshold=0.5, scale=0.1, pixel_threshold=0.5, pixel_low=0.0)


def sequence(scores: list[float | None]) -> list[ScoredImage]:
    frames = []
    for number, score in enumerate(scores):
        if score is None:
            frames.append(ScoredImage.failed(Key("a.mp4", number), "is broken"))
            continue
        result = Result.of(score, np.full((2, 2), score, np.float32), (4, 4), DECISION)
        frames.append(ScoredImage(Key("a.mp4", number), None, result, 1.0))
    return frames


def decisions(smoothing: Smoothing, scores: list[float | None]) -> str:
    results = [scored.result for scored in smoothing.apply(sequence(scores))]
    return "".join("?" if result is None else "b" if result.bad else "g" for result in results)


def test_scores_and_maps_follow_exponentially():
    found = list(Smoothing(weight=0.25, release=0.5).apply(sequence([0.0, 1.0, 1.0, None, 0.0])))
    expected = [0, 0.25, 0.4375, None, 0.328125]
    for scored, value in zip(found, expected, strict=True):
        assert scored.result is None if value is None else scored.result.image == pytest.approx(value)
        if scored.result is not None:
            np.testing.assert_allclose(scored.result.canvas_map, value, rtol=1e-6)
            assert scored.result.canvas_map.dtype == np.float32
            assert scored.result.probability == pytest.approx(DECISION.probability(value))


def test_a_bad_frame_stays_bad_until_it_is_clear():
    flickering = [0.4, 0.52, 0.48, 0.52, 0.48, 0.40, 0.48, 0.52]
    assert decisions(Smoothing(1, 0.5), flickering) == "gbgbgggb"
    # The probability is 0.45 at 0.48 and 0.27 at 0.40.
    assert decisions(Smoothing(1, 0.3), flickering) == "gbbbbggb"
    assert decisions(Smoothing(1, 0.2), flickering) == "gbbbbbbb"
    assert decisions(Smoothing(1, 0.3), [0.52, None, 0.48, 0.1, 0.48]) == "b?bgg"


def test_one_noisy_frame_is_smoothed_away():
    assert decisions(Smoothing(1, 0.3), [0.1, 0.1, 0.6, 0.1]) == "ggbg"
    assert decisions(Smoothing(0.5, 0.3), [0.1, 0.1, 0.6, 0.1]) == "gggg"


@pytest.mark.parametrize(("weight", "release"), [(0, 0.3), (1.1, 0.3), (0.5, -0.1), (0.5, 0.6)])
def test_settings_out_of_range_are_refused(weight: float, release: float):
    with pytest.raises(InputError, match=r"--(smoothing|release)=.*: give "):
        Smoothing(weight, release)


def test_results_of_a_detector_can_be_followed():
    found = detector(threshold=0.5)([np.full((8, 8), level, np.uint8) for level in (0, 255)])
    second = Smoothing(0.5, 0.3).follow(*found)
    assert second.image == pytest.approx(0.5)
    assert second.map.shape == (8, 8)
