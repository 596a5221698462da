"""The page's server answers requests over HTTP."""

import dataclasses
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import save
from tests.inspection.conftest import part
from tests.inspection.page.conftest import Client, serving
from vlmad_jax import load_detector
from vlmad_jax.inspection import FitConfig, FittedDetector, fit
from vlmad_jax.inspection.page.refit import Refitter
from vlmad_jax.inspection.page.review import Review
from vlmad_jax.inspection.prompts import Prompts, with_other_prompts
from vlmad_jax.methods import MethodOptions

MARKUP = "<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def prompted(good: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WinCLIP, which has prompts, without reference images."""
    out = tmp_path_factory.mktemp("worded") / "plate.vlmad"
    fit(FitConfig("winclip", "plate", weights=str(weights), options=MethodOptions(window_sizes=(2,))), out)
    return out


@pytest.fixture(scope="module")
def zero_shot(prompted: Path) -> FittedDetector:
    return load_detector(prompted)


@pytest.fixture
def client_of_prompts(prompted: Path, zero_shot: FittedDetector, tmp_path: Path) -> Iterator[Client]:
    with serving(prompted, tmp_path / "out", zero_shot) as server:
        yield Client(server.url)


def test_an_image_is_scored_as_by_predict(client: Client, loaded: FittedDetector):
    answer = client.drop(part(9, spot=True), "a/b\\c\n.png")
    assert answer.status == 201
    scored, expected = answer.json, loaded(part(9, spot=True))
    assert scored["name"] == "c?.png"
    assert scored["size"] == [50, 70]
    assert np.float32(scored["own"]["score"]) == np.float32(expected.image)
    assert scored["own"]["decision"] == "bad"
    assert scored["own"]["probability"] == pytest.approx(expected.probability, abs=1e-6)
    boxes = [(box["x"], box["y"], box["width"], box["height"]) for box in scored["own"]["boxes"]]
    assert boxes == [tuple(box[:4]) for box in expected.boxes]
    assert len(boxes) > 0
    assert scored["trial"] is None
    state = client("GET", "state").json
    assert state["images"] == [scored]
    assert state["decision"]["threshold"] == expected.decision.threshold
    assert state["rule"].splitlines() == loaded.description["threshold"]["lines"]
    assert len(state["reference_scores"]) == 12


def test_images_and_heat_maps_are_served(client: Client, loaded: FittedDetector):
    client.drop(part(9, spot=True))
    for layer, kind, size in (("image", "JPEG", (70, 50)), ("own", "PNG", loaded.canvas)):
        with Image.open(io.BytesIO(client("GET", f"images/1/{layer}").content)) as image:
            assert (image.format, image.size) == (kind, size)
    heat = np.asarray(Image.open(io.BytesIO(client("GET", "images/1/own").content))).astype(int).sum(axis=-1)
    worst = np.unravel_index(loaded(part(9, spot=True)).canvas_map.argmax(), heat.shape)
    assert heat[worst] == heat.max()
    assert client("GET", "images/1/trial").status == 404
    assert client("GET", "images/2/own").error.startswith("image 2 was removed")


def test_names_are_text(prompted: Path, zero_shot: FittedDetector):
    named = {**zero_shot.description, "object": f"</title>{MARKUP}"}
    with serving(prompted, None, dataclasses.replace(zero_shot, description=named)) as server:
        client = Client(server.url)
        client.drop(part(1), MARKUP)
        page = client("GET", "").content.decode()
        assert MARKUP not in page
        assert "&lt;/title&gt;&lt;img" in page
        assert client("GET", "state").json["images"][0]["name"] == MARKUP
        assert client("GET", "state").headers["content-type"] == "application/json"


def test_a_refit_adds_the_images_marked_good(client: Client, saved: Path, good: Path, tmp_path: Path):
    out, before = tmp_path / "out", (saved / "manifest.json").read_bytes()
    for number, image in enumerate((part(20), part(9, spot=True), part(21)), 1):
        assert client.drop(image, f"{number}.PNG").status == 201
    for number, mark in ((1, "good"), (2, "bad"), (3, "good"), (3, None)):
        assert client("POST", f"images/{number}/mark", {"mark": mark}).json["mark"] == mark
    request = {"name": "plate-2.vlmad", "replace": False, "prompts": False}
    assert client("GET", "refit").json == {"scored": 0, "total": 0}
    assert client("GET", "state").json["suggested"] == "plate-2.vlmad"
    answer = client("POST", "refit", request)
    assert (answer.status, answer.json["name"], answer.json["skipped"]) == (200, "plate-2.vlmad", [])
    assert (saved / "manifest.json").read_bytes() == before
    assert client("GET", "refit").json == {"scored": 15, "total": 15}  # 5 images, and 2 copies of each

    fitted = load_detector(out / "plate-2.vlmad")
    (kept,) = (out / "good").iterdir()
    assert fitted.description["references"] == [*(str(good / f"{k}.png") for k in range(4)), str(kept)]
    assert len(answer.json["reference_scores"]) == 15
    assert fitted.threshold != load_detector(saved).threshold
    assert fitted.threshold == answer.json["decision"]["threshold"]
    first, second, third = client("GET", "state").json["images"]
    assert (first["reference"], first["mark"], second["mark"], third["reference"]) == (
        True,
        None,
        "bad",
        False,
    )
    assert np.float32(second["own"]["score"]) == np.float32(fitted(part(9, spot=True)).image)

    again = client("POST", "refit", request | {"name": "plate-3.vlmad"})
    assert again.error.startswith("nothing was changed")
    client("POST", "images/3/mark", {"mark": "good"})
    assert "exists already" in client("POST", "refit", request).error
    assert client("POST", "refit", request | {"replace": True}).status == 200
    assert len(load_detector(out / "plate-2.vlmad").description["references"]) == 6


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/b", ".hidden", "good", "", "x" * 99, "a\nb", "..", "é"]
)
def test_nothing_is_written_outside_the_folder(client: Client, tmp_path: Path, name: str):
    client.drop(part(20))
    client("POST", "images/1/mark", {"mark": "good"})
    answer = client("POST", "refit", {"name": name, "replace": True, "prompts": False})
    assert (answer.status, "is not a valid name for a detector" in answer.error) == (400, True)
    assert not (tmp_path / "out").exists()


def test_a_refit_needs_a_folder_and_the_good_images(
    config: FitConfig, saved: Path, loaded: FittedDetector, tmp_path: Path
):
    request = {"name": "x.vlmad", "replace": False, "prompts": False}
    with serving(saved, None, loaded) as server:
        client = Client(server.url)
        assert client("GET", "state").json["out"] is None
        assert "--out=FOLDER" in client("POST", "refit", request).error
    lone = save(part(1), tmp_path / "lone/1.png")
    fit(
        FitConfig("padim", "plate", str(lone.parent), config.weights, augmentations=2),
        tmp_path / "lone.vlmad",
    )
    lone.unlink()
    with serving(tmp_path / "lone.vlmad", tmp_path / "out") as server:
        client = Client(server.url)
        client.drop(part(2))
        client("POST", "images/1/mark", {"mark": "good"})
        reason = client("POST", "refit", request).error
        assert reason.startswith(f"{lone}: ")
        assert "--references" in reason
        save(part(3), lone)  # another image of that name
        assert "its content changed since the detector was fitted" in client("POST", "refit", request).error
        save(part(3), tmp_path / "moved/other.png")
    assert not (tmp_path / "out/x.vlmad").exists()
    save(part(1), tmp_path / "moved/of another name.png")
    with serving(tmp_path / "lone.vlmad", tmp_path / "out", references=tmp_path / "moved") as server:
        client = Client(server.url)
        client.drop(part(2))
        client("POST", "images/1/mark", {"mark": "good"})
        assert client("POST", "refit", request).status == 200
    made = load_detector(tmp_path / "out/x.vlmad").description["references"]
    assert made[0] == str(tmp_path / "moved/of another name.png")
    assert len(made) == 2


def test_other_prompts_give_other_scores_and_the_own_ones_stay(
    client_of_prompts: Client, zero_shot: FittedDetector
):
    before = client_of_prompts.drop(part(9, spot=True)).json
    own = client_of_prompts("GET", "state").json["prompts"]
    assert own["bad"][0] == "damaged {}"
    prompts = {"good": ["clean {}"], "bad": ["noisy {}", " {} with a spot "]}
    state = client_of_prompts("POST", "prompts", prompts).json
    assert state["prompts"] == own
    assert state["trial"] == {"good": ["clean {}"], "bad": ["noisy {}", "{} with a spot"]}
    (shown,) = state["images"]
    expected = with_other_prompts(zero_shot, Prompts.from_json(prompts))(part(9, spot=True))
    assert shown["own"] == before["own"]
    assert np.float32(shown["trial"]["score"]) == np.float32(expected.image)
    assert abs(shown["trial"]["score"] - shown["own"]["score"]) > 1e-4
    assert (
        client_of_prompts("GET", "images/1/trial").content != client_of_prompts("GET", "images/1/own").content
    )
    assert client_of_prompts.drop(part(3)).json["trial"] is not None
    state = client_of_prompts("POST", "prompts", {}).json
    assert [state["trial"], *(image["trial"] for image in state["images"])] == [None] * 3


def test_prompts_on_trial_can_be_kept(client_of_prompts: Client, tmp_path: Path):
    prompts = {"good": ["clean {}"], "bad": ["noisy {}"]}
    client_of_prompts("POST", "prompts", prompts)
    scored = client_of_prompts.drop(part(9, spot=True)).json["trial"]["score"]
    state = client_of_prompts(
        "POST", "refit", {"name": "prompts.vlmad", "replace": False, "prompts": True}
    ).json
    assert (state["prompts"], state["trial"]) == (prompts, None)
    fitted = load_detector(tmp_path / "out/prompts.vlmad")
    assert np.float32(fitted(part(9, spot=True)).image) == np.float32(scored)
    assert fitted.method.prompts.anomalous_states == ("noisy {}",)


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ({"good": [], "bad": ["{}"]}, "0 prompts for good"),
        ({"good": ["{}"], "bad": ["a scratch"]}, "'a scratch': write {} once"),
        ({"good": ["{0.__class__}"], "bad": ["{}"]}, "'{0.__class__}': write {} once"),
        ({"good": ["{} {}"], "bad": ["{}"]}, "'{} {}': write {} once"),
        ({"good": ["{}" + "x" * 200], "bad": ["{}"]}, "'{}xxx"),
        ({"good": ["{}"] * 33, "bad": ["{}"]}, "33 prompts for good"),
        ({"good": "{}", "bad": ["{}"]}, "prompts are two lists"),
        ({"good": [1], "bad": ["{}"]}, "prompts are two lists"),
    ],
)
def test_invalid_prompts_are_refused_in_a_line(client_of_prompts: Client, prompts: dict, reason: str):
    assert client_of_prompts("POST", "prompts", prompts).error.startswith(reason)
    assert client_of_prompts("GET", "state").json["trial"] is None


def test_methods_without_prompts_say_so(client: Client):
    state = client("GET", "state").json
    assert (state["prompts"], state["why_no_prompts"]) == (
        None,
        "padim has no prompts to edit: it uses reference images alone",
    )
    answer = client("POST", "prompts", {"good": ["{}"], "bad": ["bad {}"]})
    assert answer.error == state["why_no_prompts"]


def test_many_at_once_are_all_scored(client: Client):
    """Images that come from several threads while the state is read."""
    threads = [threading.Thread(target=client.drop, args=(part(seed), f"{seed}.png")) for seed in range(12)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert client("GET", "state").status == 200
    images = client("GET", "state").json["images"]
    assert sorted(image["name"] for image in images) == sorted(f"{seed}.png" for seed in range(12))
    assert json.dumps(images).count('"own"') == 12


def test_a_detector_in_a_folder_of_any_name(loaded: FittedDetector):
    name = Path(os.fsdecode(b"pi\xe8ce.vlmad"))
    state = Review(loaded, name, Refitter(name)).describe()
    assert (state["name"], state["out"]) == ("pi\\xe8ce.vlmad", "pi\\xe8ce.vlmad")
    json.dumps(state, ensure_ascii=False).encode()  # as it is sent


def test_a_threshold_is_saved_into_the_detector(saved: Path, tmp_path: Path):
    own = shutil.copytree(saved, tmp_path / "plate.vlmad")
    before = load_detector(own)
    with serving(own, None) as server:
        client = Client(server.url)
        client.drop(part(9, spot=True))
        score = client("GET", "state").json["images"][0]["own"]["score"]
        for threshold in (score * 1.5, score * 2):
            answer = client("POST", "threshold", {"threshold": threshold})
            assert (answer.status, answer.json["decision"]["threshold"]) == (200, threshold)
            assert answer.json["images"][0]["own"]["decision"] == "good"
        after = load_detector(own)
        assert after.threshold == after.with_threshold(score * 2).threshold == score * 2
        assert after.checksum != before.checksum
        assert after.decision == before.with_threshold(score * 2).decision
        assert after(part(9, spot=True)).image == before(part(9, spot=True)).image
        fitted = before.description["threshold"]["text"]
        line = f"threshold: {score * 2:.6g}, set by hand; as fitted: {fitted}"
        assert after.description["threshold"]["text"] == line
        kept = (file.relative_to(own) for file in own.rglob("*"))
        assert sorted(kept) == sorted(file.relative_to(saved) for file in saved.rglob("*"))
        for nonsense in ("0.5", None, True, [1]):
            refused = client("POST", "threshold", {"threshold": nonsense})
            assert (refused.status, refused.error) == (400, "a threshold is a number")
        assert "give finite numbers" in client("POST", "threshold", b'{"threshold": NaN}').error
        shutil.rmtree(own)
        shutil.copytree(saved, own)
        assert "was replaced since it was loaded" in client("POST", "threshold", {"threshold": 1.0}).error
    assert load_detector(own).threshold == before.threshold
