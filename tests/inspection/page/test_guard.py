"""Only the page itself is answered, and not more than it should send."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inspection.conftest import part
from tests.inspection.page.conftest import Client, png, serving
from vlmad_jax.inspection import FittedDetector
from vlmad_jax.inspection.page import app, session


@pytest.fixture(scope="module")
def asked(saved: Path, loaded: FittedDetector) -> Iterator[Client]:
    """A page that is only asked what changes nothing."""
    with serving(saved, None, loaded) as server:
        yield Client(server.url)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"]
)
def test_other_hosts_are_refused(asked: Client, host: str):
    answer = asked("GET", "state", headers={"Host": host.format(port=asked.host.split(":")[1])})
    assert answer.status == 421
    assert answer.error.startswith("the page is at 127.0.0.1:")


def test_localhost_is_a_name_of_it(asked: Client):
    host = asked.host.replace("127.0.0.1", "localhost")
    assert asked("GET", "state", headers={"Host": host}).status == 200
    answer = asked("POST", "prompts", {}, {"Host": host, "Origin": f"http://{host}"})
    assert answer.status == 200


@pytest.mark.parametrize(
    "path", ["/", "/state", "/{token}x/state", "/x/{token}/state", "//state", "/%C3%A9/state"]
)
def test_without_the_token_nothing_is_told(asked: Client, path: str):
    answer = asked("GET", path.format(token=asked.token))
    assert answer.status == 403
    assert "token" in answer.error


def test_the_token_is_another_at_every_start(asked: Client, saved: Path, loaded: FittedDetector):
    assert len(asked.token) == 32
    with serving(saved, None, loaded) as server:
        assert Client(server.url).token != asked.token


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
@pytest.mark.parametrize(("method", "path"), [("POST", "prompts"), ("DELETE", "images/1"), ("POST", "refit")])
def test_other_origins_change_nothing(asked: Client, origin: str, method: str, path: str):
    answer = asked(method, path, {}, {"Origin": origin})
    assert answer.status == 403
    assert answer.error.startswith("another page sent this")


def test_every_answer_forbids_what_the_page_does_not_need(asked: Client):
    for answer in (asked("GET", ""), asked("GET", "/"), asked("GET", "nowhere"), asked("PUT", "state")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert [asked("GET", "nowhere").status, asked("PUT", "state").status] == [404, 405]
    assert asked("GET", "nowhere").error == "Not Found"


@pytest.mark.parametrize(
    "path", ["assets/../app.py", "assets/..%2fapp.py", "assets/%2fetc%2fpasswd", "images/1/own"]
)
def test_no_path_leads_to_a_file(asked: Client, path: str):
    assert asked("GET", path).status in (400, 404)


def test_large_files_are_refused_whatever_they_say(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(app, "MAX_FILE", 2**20)
    for content in (
        bytes(2**20 + 1),
        iter([bytes(2**19)] * 3),
    ):  # the second is sent in chunks, without a length
        try:
            answer = client("POST", "images?name=a.png", content)
        except (BrokenPipeError, ConnectionResetError):  # the answer came before all was sent
            continue
        assert answer.status == 413
        assert answer.error == "more than 1 MB were sent; send less at a time"
    assert client("POST", "prompts", {"good": ["x" * 2**16]}).status == 413
    assert client("GET", "state").json["images"] == []


def test_images_and_their_bytes_are_limited(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "MAX_IMAGES", 1)
    assert client.drop(part(1)).status == 201
    assert client.drop(part(2), "second.png").error.startswith("second.png: the page holds 1 images of")
    monkeypatch.setattr(session, "MAX_IMAGES", 10)
    monkeypatch.setattr(session, "MAX_BYTES", 100)
    assert client.drop(part(2)).status == 400
    assert client("DELETE", "images/1").status == 200
    assert client("GET", "state").json["images"] == []


def bomb() -> bytes:
    """A PNG file of 60 bytes that says it has 400 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("bomb.png", bomb(), "bomb.png: has 20,000 x 20,000 pixels, more than 200 million"),
        ("cut.png", png(part(1))[:900], "cut.png: does not decode"),
        ("empty.png", b"", "empty.png: does not decode"),
        ("program.png", POSTSCRIPT, "program.png: does not decode"),
        ("notes.txt", png(part(1)), "notes.txt: is not an image by its name"),
        ("/etc/passwd", b"", "passwd: is not an image by its name"),
    ],
)
def test_what_is_no_image_is_told_in_a_line(asked: Client, name: str, content: bytes, reason: str):
    answer = asked.drop(content, name)
    assert answer.status == 400
    assert answer.error.startswith(reason)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 60_000, b"\xff", b'{"mark": "x"}'])
def test_what_is_no_form_is_told_in_a_line(client: Client, content: bytes):
    client.drop(part(1))
    assert client("POST", "images/1/mark", content).status == 400
    assert client("GET", "state").json["images"][0]["mark"] is None
