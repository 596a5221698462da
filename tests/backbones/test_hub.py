"""Checkpoints from a hub, a local server that speaks the needed part of the hub's protocol."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jax
import numpy as np
import pytest
from huggingface_hub import constants, hf_api

from tests.golden import case, golden_clip
from vlmad_jax import InputError, load_clip
from vlmad_jax.backbones.checkpoints import hub

GOLDEN = case("winclip").directory
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json")
OTHERS = ("README.md", "tf_model.h5", "images/example.png")


class Hub(ThreadingHTTPServer):
    """Repositories by name, each a dict of file name -> contents; `asked` lists the files sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def description(repository: str, files: dict[str, bytes], what: str) -> Any:
    """Return the hub's description of a repository or of the tree of its files."""
    if not what.startswith("/tree/"):
        siblings = [{"rfilename": name} for name in files]
        return {"id": repository, "sha": COMMIT, "siblings": siblings}
    return [
        {"type": "file", "path": name, "size": len(contents), "oid": hashlib.sha1(contents).hexdigest()}
        for name, contents in files.items()
    ]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if match := re.fullmatch(
            r"/api/models/([^/]+/[^/]+)(/revision/[^/?]+|/tree/[^/?]+)?(\?.*)?", self.path
        ):
            files = self.server.repositories.get(match[1])
            if files is not None:
                return self.answer(json.dumps(description(match[1], files, match[2] or "")).encode())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path):
            contents = self.server.repositories.get(match[1], {}).get(match[2])
            if contents is not None:
                if self.command == "GET":
                    self.server.asked.append(match[2])
                return self.answer(contents)
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def answer(self, contents: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(contents)))
        self.send_header("ETag", f'"{hashlib.sha1(contents).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(contents)


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Hub]:
    """A hub with its own cache, both of which huggingface_hub uses."""
    running = Hub()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", running.url)
    monkeypatch.setattr(hf_api.api, "endpoint", running.url)
    files_url = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files_url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def files(*names: str) -> dict[str, bytes]:
    """Return a repository's files; all but the golden ones contain their name."""
    return {
        name: (GOLDEN / name).read_bytes() if (GOLDEN / name).exists() else name.encode() for name in names
    }


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stop(server: Hub) -> None:
    server.shutdown()
    server.server_close()


def test_a_repository_is_downloaded_and_loaded(server):
    wanted = (*SMALL, "model.safetensors")
    server.repositories["acme/clip"] = files(*wanted, *OTHERS, "pytorch_model.bin")
    clip = load_clip("acme/clip")
    golden = jax.tree.leaves(golden_clip("winclip").params)
    for mine, published in zip(jax.tree.leaves(clip.params), golden, strict=True):
        np.testing.assert_array_equal(mine, published)
    assert sorted(server.asked) == sorted(wanted)


def test_downloads_are_used_again_even_offline(server):
    server.repositories["acme/clip"] = files(*SMALL, "model.safetensors")
    directory = hub.locate("acme/clip")
    del server.asked[:]
    assert hub.locate("acme/clip") == directory
    stop(server)
    assert hub.locate("acme/clip") == directory
    assert server.asked == []
    assert sorted(path.name for path in directory.iterdir()) == sorted([*SMALL, "model.safetensors"])


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        (["model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors"], ["model.safetensors"]),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "pytorch_model.bin"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (["pytorch_model.bin", "open_clip_pytorch_model.bin"], ["pytorch_model.bin"]),
        (["tf_model.h5"], []),
    ],
)
def test_one_set_of_weights_is_fetched(server, weights, wanted):
    index = ["model.safetensors.index.json"] if "model-00001-of-00002.safetensors" in weights else []
    server.repositories["acme/clip"] = files(*SMALL, *OTHERS, *index, *weights)
    hub.locate("acme/clip")
    assert sorted(server.asked) == sorted([*SMALL, *index, *wanted])


def test_weights_of_timm_beside_those_of_open_clip_are_ignored(server):
    both = files(*SMALL, "model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    server.repositories["timm/clip"] = both | {"config.json": b'{"architecture": "vit_base_patch16"}'}
    hub.locate("timm/clip")
    assert sorted(server.asked) == sorted([*SMALL, "open_clip_model.safetensors"])


def test_an_unknown_repository(server, tmp_path):
    message = refusal(load_clip, "acme/absent")
    assert message.startswith("acme/absent: is not a directory and cannot be downloaded from the hub (")
    assert message.endswith("); check the name and the network, or give a directory")
    assert not list(tmp_path.rglob("*.*"))


def test_a_hub_out_of_reach(server, tmp_path):
    stop(server)
    message = refusal(load_clip, "acme/clip")
    assert message.startswith("acme/clip: is not a directory and cannot be downloaded from the hub (")
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("name", ["absent", "absent/", "/absent/folder", "a/b/c", "acme/clip model"])
def test_invalid_names_of_repositories(server, name):
    expected = f"{name}: no such directory; give a checkpoint's directory or a hub id"
    assert refusal(load_clip, name) == expected
    assert server.asked == []


def test_a_file_in_place_of_a_directory(tmp_path, monkeypatch):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "clip").touch()
    monkeypatch.chdir(tmp_path)
    assert refusal(hub.locate, "acme/clip").startswith("acme/clip: no such directory")


def test_bundled_weights(tmp_path, monkeypatch):
    """They have their name in any folder, and a folder of that name takes precedence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "BUNDLED_DIRECTORY", tmp_path / "clone" / "weights" / "tiny")
    assert refusal(hub.locate, "weights/tiny").startswith(
        "weights/tiny: is neither in the installed package nor beside it; install it again"
    )
    (tmp_path / "clone" / "weights" / "tiny").mkdir(parents=True)
    assert hub.locate("weights/tiny") == tmp_path / "clone" / "weights" / "tiny"
    (tmp_path / "weights" / "tiny").mkdir(parents=True)
    assert hub.locate("weights/tiny").resolve() == tmp_path / "weights" / "tiny"
