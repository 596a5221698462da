"""Who may ask: only the page that was opened by the address that the command printed.

Other pages in the same browser can send requests to 127.0.0.1. They do not know the token in the path, a name
of theirs that leads here (DNS rebinding) stands in the Host header, and the browser names them in Origin.
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
_ASKING = frozenset(("GET", "HEAD"))  # methods that change nothing


class Refused(InputError):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Guard:
    """Lets requests through to `app` that come from its own page; all answers have `HEADERS`.

    Attributes:
      app: what is guarded.
      port: that it is reached at.
      token: the first part of every path.
    """

    app: ASGIApp
    port: int
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            self.check(scope["method"], scope["path"], Headers(scope=scope))
        except Refused as reason:
            await told(reason)(scope, receive, send_guarded)
            return
        await self.app(scope, receive, send_guarded)

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Raises Refused unless a request is one of the page's own."""
        hosts = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")]
        if headers.get("host") not in hosts:
            raise Refused(421, f"this is only answered at {hosts[0]}; open the address that was printed")
        if not secrets.compare_digest(path.split("/")[1].encode(), self.token.encode()):
            raise Refused(403, "the address lacks its token; open the one that was printed at the start")
        if method in _ASKING:
            return
        if headers.get("origin", "http://" + headers["host"]) != "http://" + headers["host"]:
            raise Refused(403, "another page asked; use the page at the address that was printed")


def told(error: InputError) -> JSONResponse:
    """An error as one line of JSON."""
    status = error.status if isinstance(error, Refused) else 400
    return JSONResponse({"error": printable(" ".join(str(error).split()))}, status)


async def body(request: Request, most: int) -> bytes:
    """The body of a request; raises Refused once it has more than `most` bytes, whatever it says."""
    refused = Refused(413, f"more than {most / 2**20:.3g} MB were sent; send less at a time")
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
