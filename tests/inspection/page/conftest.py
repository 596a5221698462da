"""A page that is served, and requests to it."""

import http.client
import io
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from PIL import Image

from vlmad_jax import load_detector
from vlmad_jax.inspection import FittedDetector
from vlmad_jax.inspection.page.app import Server
from vlmad_jax.inspection.page.refit import Refitter
from vlmad_jax.inspection.page.review import Review


class Answer(NamedTuple):
    """The response to a request."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> str:
        """The reason of a refusal, which is one line."""
        reason = self.json["error"]
        assert list(self.json) == ["error"]
        assert len(reason.splitlines()) == 1
        return reason


class Client:
    """Asks as a browser does that has the page open."""

    def __init__(self, url: str) -> None:
        _, _, self.host, self.token, _ = url.split("/")

    def __call__(
        self,
        method: str,
        path: str,
        content: bytes | Iterable[bytes] | dict | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The answer to a request below the token; an absolute path is taken as it is."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        sent = json.dumps(content).encode() if isinstance(content, dict) else content
        where = path if path.startswith("/") else f"/{self.token}/{path}"
        own = {"Origin": f"http://{self.host}"} if method != "GET" else {}
        try:
            connection.request(method, where, sent, own | (headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        finally:
            connection.close()

    def drop(self, image: Image.Image | bytes, name: str = "part.png") -> Answer:
        content = image if isinstance(image, bytes) else png(image)
        return self("POST", f"images?name={quote(name)}", content)


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


@contextmanager
def serving(
    saved: Path, out: Path | None, detector: FittedDetector | None = None, references: Path | None = None
) -> Iterator[Server]:
    """The page of a saved detector, which may be loaded already."""
    refitter = None if out is None else Refitter(out, references)
    server = Server(Review(detector or load_detector(saved), saved, refitter))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def loaded(saved: Path) -> FittedDetector:
    return load_detector(saved)


@pytest.fixture
def client(saved: Path, loaded: FittedDetector, tmp_path: Path) -> Iterator[Client]:
    """A page of a detector without prompts, with a folder to refit in."""
    with serving(saved, tmp_path / "out", loaded) as server:
        yield Client(server.url)
