"""Whole folders: hostile files are named and counted, sequences smoothed, and a run goes on."""

import os
import struct
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inspection.brightness import detector, grey
from tests.inspection.test_journal import rows
from vlmad_jax import InputError
from vlmad_jax.data.images import LARGEST_IMAGE
from vlmad_jax.inspection.journal import rows_of_files
from vlmad_jax.inspection.outputs import Counts
from vlmad_jax.inspection.predict import PredictConfig, predict
from vlmad_jax.inspection.sequences import Smoothing
from vlmad_jax.inspection.stream import ScoredImage, find, score_each


def bomb(path: Path, width: int = 30_000, height: int = 30_000) -> None:
    """A PNG whose header promises so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Two images that are fine among everything that is not."""
    folder = tmp_path / "new"
    grey(10, folder / "fine.png")
    grey(250, folder / "sub/bright.png")
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image at all")
    noise = Image.effect_noise((100, 100), 90)
    noise.save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:3000])
    (folder / "notes.txt").write_text("of the shift")
    bomb(folder / "bomb.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "sub/loop").symlink_to(folder)
    (folder / ".hidden.png").write_text("hidden")
    return folder


EXPECTED = {
    "empty.png": "does not decode (cannot identify image file",
    "text.jpg": "does not decode (cannot identify image file",
    "cut.png": "does not decode (",
    "notes.txt": "is not an image by its name (.txt)",
    "bomb.png": "has 30,000 x 30,000 pixels, more than 200 million",
    "pipe.png": "is no file",
    "self.png": "does not decode ([Errno 40] Too many levels of symbolic links",
    "gone.png": "no such image",
    "sub/loop": "leads to a folder that was listed already",
}


def test_hostile_files_are_named_and_counted(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    counts = predict(detector(), [str(hostile)], tmp_path / "out", PredictConfig(save_maps=True))
    assert counts == Counts(good=1, bad=1, failed=len(EXPECTED), bad_images=[str(hostile / "sub/bright.png")])
    told = capsys.readouterr().err
    table = {str(Path(row["path"]).relative_to(hostile)): row for row in rows(tmp_path / "out")}
    assert table.keys() == {"fine.png", "sub/bright.png", *EXPECTED}
    for name, expected in EXPECTED.items():
        assert table[name]["error"].startswith(expected), name
        assert table[name]["decision"] == table[name]["score"] == ""
        assert f"skipped: {hostile / name}: {table[name]['error']}\n" in told
    assert (table["fine.png"]["decision"], table["sub/bright.png"]["decision"]) == ("good", "bad")
    assert maps_in(tmp_path / "out") == ["fine.png.png", "sub/bright.png.png"]


def test_the_largest_image_is_known_by_its_header(tmp_path: Path):
    side = int(LARGEST_IMAGE**0.5)
    bomb(tmp_path / "large.png", side, side)
    bomb(tmp_path / "larger.png", side + 1, side + 1)
    first, second = rows_of_files(detector(), [str(tmp_path / f"{x}.png") for x in ("large", "larger")])
    assert str(first.error).startswith("does not decode (")  # it was begun
    assert str(second.error).startswith("has 14,143 x 14,143 pixels")
    assert Image.MAX_IMAGE_PIXELS == 89_478_485  # the library's own limit is as it was


def test_a_shard_is_a_function_of_paths_alone(tmp_path: Path):
    paths = [str(tmp_path / f"{k}.png") for k in range(7)]
    for k, path in enumerate(paths):
        grey(30 * k, Path(path), size=(10 + k, 20))
    first = list(rows_of_files(detector(batch_size=3), paths))
    assert [row.path for row in first] == paths
    np.testing.assert_allclose([row.score for row in first], [30 * k / 255 for k in range(7)], atol=1e-6)
    assert [row.decision for row in first] == ["good"] * 5 + ["bad"] * 2
    assert first[6].boxes == ((0, 0, 16, 20, first[6].score),)
    apart = [row for part in (paths[:2], paths[2:]) for row in rows_of_files(detector(batch_size=3), part)]
    assert [row.score for row in apart] == [row.score for row in first]


def test_nothing_is_kept_of_what_was_judged(tmp_path: Path):
    path = str(tmp_path / "a.png")
    grey(10, Path(path))
    alive: list[weakref.ref[ScoredImage]] = []
    most = 0
    for scored in score_each(detector(batch_size=2), [path] * 60):
        alive.append(weakref.ref(scored))
        del scored
        most = max(most, sum(reference() is not None for reference in alive))
    assert len(alive) == 60
    assert most <= 4  # a batch, and the one it is taken from


def test_a_second_run_does_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, out = tmp_path / "new", tmp_path / "out"
    for name, level in (("frame10", 10), ("frame2", 200)):
        grey(level, folder / f"{name}.png")
    (folder / "late.png").touch()
    model = detector()
    bad_one = str(folder / "frame2.png")
    assert predict(model, [str(folder)], out, PredictConfig()) == Counts(1, 1, 1, bad_images=[bad_one])
    assert [Path(row["path"]).name for row in rows(out)] == ["frame2.png", "frame10.png", "late.png"]
    before = (out / "scores.jsonl").read_text().splitlines()[:2]
    grey(20, folder / "late.png")
    counts = predict(model, [str(folder)], out, PredictConfig())
    assert counts == Counts(1, 0, 0, kept=1, kept_bad=1, bad_images=[f"{bad_one} (from an earlier run)"])
    assert counts.any_bad
    lines = (out / "scores.jsonl").read_text().splitlines()
    assert lines[:2] == before
    assert len(lines) == len(rows(out)) == 3
    with pytest.raises(InputError, match=r"holds a run with threshold 0\.5, but this one has 0\.1"):
        predict(model.with_threshold(0.1), [str(folder)], out, PredictConfig())
    with pytest.raises(InputError, match="is the folder of the images; give another"):
        predict(model, [str(folder)], folder, PredictConfig())
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        predict(model, [str(tmp_path / "nowhere")], out, PredictConfig())


def bad(out: Path) -> list[tuple[str, str]]:
    return [(Path(row["path"]).name, row["decision"]) for row in rows(out)]


def test_a_file_that_changed_is_judged_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, out = tmp_path / "new", tmp_path / "out"
    for name in ("a", "b", "c"):
        grey(10, folder / f"{name}.bmp")
    for expected in (Counts(good=3), Counts(kept=3)):
        assert predict(detector(), [str(folder)], out, PredictConfig(save_maps=True)) == expected
    assert "again" not in capsys.readouterr().err
    kept = [line for line in (out / "scores.jsonl").read_text().splitlines() if "b.bmp" not in line]
    map_before = next((out / "maps").rglob("b.bmp.png")).read_bytes()
    grey(250, folder / "b.bmp")  # a BMP of another grey has the same size
    os.utime(folder / "a.bmp")
    counts = predict(detector(), [str(folder)], out, PredictConfig(save_maps=True))
    assert counts == Counts(bad=1, kept=2, bad_images=[str(folder / "b.bmp")])
    assert "files scored again because their content changed: 1\n" in capsys.readouterr().err
    assert bad(out) == [("a.bmp", "good"), ("c.bmp", "good"), ("b.bmp", "bad")]
    assert (out / "scores.jsonl").read_text().splitlines()[:2] == kept
    assert next((out / "maps").rglob("b.bmp.png")).read_bytes() != map_before
    (folder / "b.bmp").write_bytes(b"no longer an image")
    assert predict(detector(), [str(folder)], out, PredictConfig(save_maps=True)) == Counts(failed=1, kept=2)


def test_files_that_change_places_are_judged_again(tmp_path: Path):
    folder, out = tmp_path / "new", tmp_path / "out"
    for name, level in (("a.bmp", 10), ("b.bmp", 250)):
        grey(level, folder / name)
        os.utime(folder / name, ns=(10**18, 10**18))
    predict(detector(), [str(folder)], out, PredictConfig())
    (folder / "a.bmp").rename(folder / "x")
    (folder / "b.bmp").rename(folder / "a.bmp")
    (folder / "x").rename(folder / "b.bmp")
    predict(detector(), [str(folder)], out, PredictConfig())
    assert bad(out) == [("a.bmp", "bad"), ("b.bmp", "good")]


def test_a_file_that_is_gone_is_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, out = tmp_path / "new", tmp_path / "out"
    grey(10, folder / "a.png")
    grey(250, folder / "b.png")
    assert predict(detector(), [str(folder)], out, PredictConfig()).bad == 1
    (folder / "b.png").unlink()
    assert predict(detector(), [str(folder)], out, PredictConfig()) == Counts(kept=1)
    assert f"rows in {out} not counted because their files are gone or" in capsys.readouterr().err
    assert bad(out) == [("a.png", "good"), ("b.png", "bad")]


@pytest.mark.parametrize("change", ["a frame changes", "one comes in between", "one is gone"])
def test_a_sequence_that_changed_is_judged_from_its_start(tmp_path: Path, change: str):
    folder, out = tmp_path / "new", tmp_path / "out"
    sequence = PredictConfig(sequence=True, smoothing=Smoothing(0.5, 0.5))
    for number in (0, 2, 4):
        grey(100, folder / f"{number}.png")
    predict(detector(), [str(folder)], out, sequence)
    grey(100, folder / "5.png")  # one that comes after changes nothing of the others
    predict(detector(), [str(folder)], out, sequence)
    before = {row["path"]: row["milliseconds"] for row in rows(out)}
    predict(detector(), [str(folder)], out, sequence)
    assert {row["path"]: row["milliseconds"] for row in rows(out)} == before
    if change == "one is gone":
        (folder / "0.png").unlink()
    else:
        grey(250, folder / ("2.png" if change == "a frame changes" else "1.png"))
    predict(detector(), [str(folder)], out, sequence)
    whole = tmp_path / "whole"
    predict(detector(), [str(folder)], whole, sequence)
    scores = [{row["path"]: row["score"] for row in rows(x)} for x in (out, whole)]
    assert {path: scores[0][path] for path in scores[1]} == scores[1]


def test_every_page_is_judged(tmp_path: Path):
    folder, out = tmp_path / "new", tmp_path / "out"
    pages = [grey(level) for level in (10, 250, 20)]
    folder.mkdir()
    pages[0].save(folder / "a.tif", save_all=True, append_images=pages[1:])
    grey(30, folder / "b.png")
    bad_one = f"{folder / 'a.tif'} (image 1)"
    counts = predict(detector(), [str(folder)], out, PredictConfig(save_maps=True))
    assert counts == Counts(3, 1, 0, bad_images=[bad_one])
    found = [(Path(row["path"]).name, row["frame"], row["decision"]) for row in rows(out)]
    expected = [("b.png", "", "good"), ("a.tif", "0", "good"), ("a.tif", "1", "bad"), ("a.tif", "2", "good")]
    assert found == expected
    assert maps_in(out) == [*(f"a.tif/00000{number}.png" for number in range(3)), "b.png.png"]
    lines = (out / "scores.jsonl").read_text().splitlines(keepends=True)
    (out / "scores.jsonl").write_text("".join(lines[:3]))
    counts = predict(detector(), [str(folder)], out, PredictConfig(save_maps=True))
    assert counts == Counts(1, 0, 0, kept=2, kept_bad=1, bad_images=[f"{bad_one} (from an earlier run)"])
    assert [(Path(row["path"]).name, row["frame"], row["decision"]) for row in rows(out)] == expected
    assert (out / "scores.jsonl").read_text().splitlines(keepends=True)[:3] == lines[:3]
    with pytest.raises(InputError, match=r"a\.tif: holds 3 images, but one is read; save each"):
        detector()(folder / "a.tif")


def test_a_folder_can_be_a_sequence(tmp_path: Path):
    levels = [10, 10, 250, 10, 250, 250, 130, 100, 10]
    folder, out = tmp_path / "new", tmp_path / "out"
    for number, level in enumerate(levels):
        grey(level, folder / f"frame{number}.png")
    pages = [grey(level) for level in (250, 10)]
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    sequence = PredictConfig(sequence=True, smoothing=Smoothing(1.0, 0.3))
    predict(detector(), [str(folder)], out, sequence)
    decided = {(Path(row["path"]).name, row["frame"]): row["decision"] for row in rows(out)}
    assert [decided[f"frame{k}.png", ""] for k in range(9)] == [
        "good", "good", "bad", "good", "bad", "bad", "bad", "good", "good",
    ]  # fmt: skip
    assert (decided["pages.tif", "0"], decided["pages.tif", "1"]) == ("bad", "good")
    # Killed after the sixth frame: it goes on as if it had not been.
    whole = (out / "scores.jsonl").read_text().splitlines(keepends=True)
    (out / "scores.jsonl").write_text("".join(whole[:6]))
    predict(detector(), [str(folder)], out, sequence)
    assert {(Path(r["path"]).name, r["frame"]): r["decision"] for r in rows(out)} == decided
    assert len(rows(out)) == len(whole)


def test_the_summary_names_the_bad_ones_up_to_ten(tmp_path: Path):
    folder, out = tmp_path / "new", tmp_path / "out"
    for number in range(8):
        grey(250, folder / f"{number}.png")
    counts = predict(detector(), [str(folder)], out, PredictConfig())
    assert (str(counts), counts.lines()) == (
        "0 good, 8 bad, 0 could not be scored",
        [f"bad: {folder / f'{number}.png'}" for number in range(8)],
    )
    for number in range(8, 12):
        grey(250 if number > 8 else 10, folder / f"{number}.png")
    counts = predict(detector(), [str(folder)], out, PredictConfig())
    assert (str(counts), counts.lines()) == (
        "1 good, 3 bad, 0 could not be scored",
        [
            "8 rows kept from an earlier run and not counted above: 0 good, 8 bad",
            *(f"bad: {folder / f'{number}.png'}" for number in range(9, 12)),
            *(f"bad: {folder / f'{number}.png'} (from an earlier run)" for number in range(7)),
            "bad: 1 more",
        ],
    )
    assert counts.any_bad


def maps_in(out: Path) -> list[str]:
    return sorted(path.relative_to(out / "maps").as_posix() for path in (out / "maps").rglob("*.png"))


def test_heat_maps_lie_as_their_images_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("monday/a.png", "monday/sub/a.png", "tuesday/a.png", "other/tuesday/a.png"):
        grey(10, tmp_path / name)
    monday, tuesday = str(tmp_path / "monday"), str(tmp_path / "tuesday")

    def found(out: str, *sources: str) -> list[str]:
        predict(detector(), sources, tmp_path / out, PredictConfig(save_maps=True))
        return maps_in(tmp_path / out)

    assert found("folder", monday) == ["a.png.png", "sub/a.png.png"]
    assert found("files", f"{monday}/a.png", f"{monday}/sub/a.png") == ["a.png.png", "sub/a.png.png"]
    assert found("both", monday, tuesday) == [
        "monday/a.png.png", "monday/sub/a.png.png", "tuesday/a.png.png",
    ]  # fmt: skip
    # One after another into one folder: none takes the place of another, and each keeps its own.
    assert found("file", f"{monday}/a.png") == ["a.png.png"]
    assert found("file", tuesday) == ["a.png.png", "tuesday/a.png.png"]
    assert found("file", str(tmp_path / "other/tuesday")) == [
        "a.png.png", "tuesday-2/a.png.png", "tuesday/a.png.png",
    ]  # fmt: skip
    assert found("file", monday) == [
        "a.png.png", "sub/a.png.png", "tuesday-2/a.png.png", "tuesday/a.png.png",
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path / "tuesday")
    assert found("up", "../monday/sub", ".") == ["monday/sub/a.png.png", "tuesday/a.png.png"]


@pytest.mark.parametrize(
    ("size", "panel"), [((20, 10), (480, 240)), ((10, 20), (120, 240)), ((500, 25), (1024, 51))]
)
def test_heat_maps_keep_the_proportions(tmp_path: Path, size: tuple[int, int], panel: tuple[int, int]):
    grey(250, tmp_path / "new/a.png", size)
    predict(detector(), [str(tmp_path / "new")], tmp_path / "out", PredictConfig(save_maps=True))
    with Image.open(tmp_path / "out/maps/a.png.png") as image:
        pixels = np.asarray(image)
    width, height = panel
    assert pixels.shape[1] == max(3 * width, 480)
    assert (pixels[:height, 2:width] == 250).all()  # the image, two pixels from the lines around it
    assert (pixels[height : height + 4] == 255).all()
    assert len(np.unique(pixels[height:].reshape(-1, 3), axis=0)) > 200  # the scale of colours beneath


def test_what_is_found_below_a_folder(hostile: Path, tmp_path: Path):
    found = list(find(hostile))
    assert [str(Path(path).relative_to(hostile)) for path, _ in found] == [
        "bomb.png", "cut.png", "empty.png", "fine.png", "gone.png", "notes.txt", "pipe.png", "self.png",
        "text.jpg", "sub/bright.png", "sub/loop",
    ]  # fmt: skip
    assert [Path(path).name for path, error in found if error] == ["notes.txt", "loop"]
    assert [path for path, _ in find(hostile / "notes.txt")] == [str(hostile / "notes.txt")]
    grey(10, hostile / "out/maps/fine.png")
    assert len(list(find(hostile, without=hostile / "out"))) == 11
    assert len(list(find(hostile))) == 12
    assert [Path(path).name for path, _ in find(hostile / "out", without=hostile)] == ["fine.png"]
