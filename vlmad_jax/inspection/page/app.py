"""The requests that the page's server answers, all of them below the token, on 127.0.0.1 alone."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import jinja2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from vlmad_jax.data.images import image_suffixes
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.page.guard import Guard, RefusedRequest, body, refusal
from vlmad_jax.inspection.page.review import Review
from vlmad_jax.inspection.page.session import PageImage
from vlmad_jax.inspection.prompts import Prompts

MAX_FILE = 64 * 2**20  # bytes of an image's file
FAILED = "the request failed; the terminal shows the error"
_MAX_FORM = 2**16  # bytes of a form
_AT_ONCE = 2  # images that are received and scored at the same time
# The style sheet and the switch between dark and light are those of the report.
_ASSETS = {
    "page.css": ("vlmad_jax.report", "text/css"),
    "theme.js": ("vlmad_jax.report", "text/javascript"),
    "inspect.css": ("vlmad_jax.inspection.page", "text/css"),
    "gallery.js": ("vlmad_jax.inspection.page", "text/javascript"),
    "inspect.js": ("vlmad_jax.inspection.page", "text/javascript"),
}


def application(review: Review, port: int, token: str) -> Guard:
    """Return the guarded ASGI application of a review."""
    handlers = Handlers(review)
    routes = [
        Route("/", handlers.page),
        Route("/assets/{name}", handlers.asset),
        Route("/state", handlers.state),
        Route("/images", handlers.add, methods=["POST"]),
        Route("/images/{number:int}", handlers.remove, methods=["DELETE"]),
        Route("/images/{number:int}/mark", handlers.mark, methods=["POST"]),
        Route("/images/{number:int}/{layer}", handlers.layer),
        Route("/prompts", handlers.prompts, methods=["POST"]),
        Route("/threshold", handlers.threshold, methods=["POST"]),
        Route("/refit", handlers.refit, methods=["POST"]),
        Route("/refit", handlers.progress),
    ]
    problems: dict[Any, Any] = {
        InputError: lambda request, error: refusal(error),
        HTTPException: lambda request, error: refusal(RefusedRequest(error.status_code, error.detail)),
        ClientDisconnect: lambda request, error: Response(status_code=400),  # nobody reads the answer
        Exception: lambda request, error: refusal(RefusedRequest(500, FAILED)),
    }
    return Guard(
        Starlette(routes=[Mount(f"/{token}", routes=routes)], exception_handlers=problems), port, token
    )


class Handlers:
    """The handlers of requests, which do slow work in threads."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def page(self, request: Request) -> Response:
        """Send the page."""
        suffixes = ",".join(sorted(image_suffixes()))
        description = await run_in_threadpool(self.review.describe)
        return HTMLResponse(_template().render(state=description, suffixes=suffixes, most=MAX_FILE))

    async def asset(self, request: Request) -> Response:
        """Send a style sheet or a script of the page."""
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        package, kind = _ASSETS[name]
        return Response(resources.files(package).joinpath("templates", name).read_bytes(), media_type=kind)

    async def state(self, request: Request) -> Response:
        """Send the whole state."""
        return JSONResponse(await run_in_threadpool(self.review.describe))

    async def add(self, request: Request) -> Response:
        """Add an image, whose file is the body and whose name is ?name=."""
        name = _shown_name(request.query_params.get("name", ""))
        async with self._turns:  # so that few files are in memory at the same time
            content = await body(request, MAX_FILE)
            image = await run_in_threadpool(self.review.session.add, name, content)
        return JSONResponse(image.describe(), 201)

    async def remove(self, request: Request) -> Response:
        """Remove an image."""
        self.review.session.remove(request.path_params["number"])
        return JSONResponse({})

    async def mark(self, request: Request) -> Response:
        """Mark an image by {"mark": "good"}, "bad" or null."""
        mark = (await _form(request)).get("mark")
        if mark not in ("good", "bad", None):
            raise InputError("a mark is good, bad or null")
        image = self.review.session.mark(request.path_params["number"], mark)
        return JSONResponse(image.describe())

    async def layer(self, request: Request) -> Response:
        """Send an image as the page shows it, or a heat map to lay over it."""
        image = self.review.session.get(request.path_params["number"])
        content, kind = _layers(image).get(request.path_params["layer"], (None, ""))
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type=kind)

    async def prompts(self, request: Request) -> Response:
        """Try {"good": [phrases], "bad": [phrases]}; {} ends the trial."""
        form = await _form(request)
        await run_in_threadpool(self.review.session.try_prompts, Prompts.from_json(form) if form else None)
        return await self.state(request)

    async def threshold(self, request: Request) -> Response:
        """Save {"threshold": 0.25} into the detector."""
        value = (await _form(request)).get("threshold")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError("a threshold is a number")
        await run_in_threadpool(self.review.save_threshold, value)
        return await self.state(request)

    async def refit(self, request: Request) -> Response:
        """Fit again by {"name": "nut-2.vlmad", "replace": false, "prompts": false}."""
        form = await _form(request)
        name, replace, prompts = (form.get(key) for key in ("name", "replace", "prompts"))
        if not (isinstance(name, str) and isinstance(replace, bool) and isinstance(prompts, bool)):
            raise InputError("a refit takes a name, and true or false for replace and prompts")
        skipped = await run_in_threadpool(self.review.refit, name, replace, prompts)
        description = await run_in_threadpool(self.review.describe)
        return JSONResponse(description | {"skipped": skipped})

    async def progress(self, request: Request) -> Response:
        """Send how many images the last refit has scored, and how many it scores in all."""
        scored, total = self.review.progress
        return JSONResponse({"scored": scored, "total": total})


def _layers(image: PageImage) -> dict[str, tuple[bytes | None, str]]:
    trial = None if image.trial is None else image.trial.heat
    return {
        "image": (image.image, "image/jpeg"),
        "own": (image.own.heat, "image/png"),
        "trial": (trial, "image/png"),
    }


def _shown_name(name: str) -> str:
    """Return the last part of a file's name on one line; it is shown, and never opened."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(letter if letter.isprintable() else "?" for letter in last)[-200:] or "image"


async def _form(request: Request) -> dict[str, Any]:
    try:
        form = json.loads(await body(request, _MAX_FORM))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RefusedRequest):
            raise
        raise InputError("the request is not JSON; load the page again") from None
    if not isinstance(form, dict):
        raise InputError("the request is not a JSON object; load the page again")
    return form


@cache
def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("vlmad_jax.inspection.page")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("inspect.html")


HOST = "127.0.0.1"
_CONNECTIONS = 64


class Server:
    """A server on 127.0.0.1 that listens from the start and answers in `run`.

    Attributes:
      port: port that it listens at.
      url: address of the page; whoever knows it can use the page.

    Raises:
      InputError: the port is in use.
    """

    def __init__(self, review: Review, port: int = 0) -> None:
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise InputError(
                f"--port={port}: cannot listen at this port ({error}); give 0 for a free port"
            ) from None
        self._socket.listen()
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.url = f"http://{HOST}:{self.port}/{token}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(review, self.port, token),
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=3,
            )
        )

    def run(self) -> None:
        """Answer requests until it is stopped or interrupted."""
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run` from another thread."""
        self._server.should_exit = True
