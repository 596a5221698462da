"""Refuse all requests but those of the page at the address that the command printed.

Other pages in the same browser can send requests to 127.0.0.1. They do not know the token in the path; a name
of theirs that resolves to this address (DNS rebinding) stands in the Host header; and the browser sends their
origin in the Origin header.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import printable

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE_METHODS = frozenset(("GET", "HEAD"))  # they change nothing


class RefusedRequest(InputError):
    """A request that is refused with an HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Guard:
    """Passes the requests of the page to `app`, and adds `HEADERS` to all answers.

    Attributes:
      app: the application.
      port: port that it is reached at.
      token: first part of every path.
    """

    app: ASGIApp
    port: int
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            self.check(scope["method"], scope["path"], Headers(scope=scope))
        except RefusedRequest as reason:
            await refusal(reason)(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Raise RefusedRequest unless the page itself sent a request."""
        hosts = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")]
        if headers.get("host") not in hosts:
            raise RefusedRequest(421, f"the page is at {hosts[0]}; open the address that was printed")
        if not secrets.compare_digest(path.split("/")[1].encode(), self.token.encode()):
            raise RefusedRequest(403, "the address lacks its token; open the address that was printed")
        if method in _SAFE_METHODS:
            return
        if headers.get("origin", "http://" + headers["host"]) != "http://" + headers["host"]:
            raise RefusedRequest(403, "another page sent this; use the page at the address that was printed")


def refusal(error: InputError) -> JSONResponse:
    """Return an error as one line of JSON."""
    status = error.status if isinstance(error, RefusedRequest) else 400
    return JSONResponse({"error": printable(" ".join(str(error).split()))}, status)


async def body(request: Request, most: int) -> bytes:
    """Read the body of a request; raise RefusedRequest when more than `most` bytes were sent or announced."""
    refused = RefusedRequest(413, f"more than {most / 2**20:.3g} MB were sent; send less at a time")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise refused
    pieces, total = [], 0
    async for piece in request.stream():
        total += len(piece)
        if total > most:
            raise refused
        pieces.append(piece)
    return b"".join(pieces)
