"""The page's server, which listens on 127.0.0.1 alone."""

from __future__ import annotations

import secrets
import socket

import uvicorn

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.page.app import application
from vlmad_jax.inspection.page.desk import Desk

HOST = "127.0.0.1"
_CONNECTIONS = 64


class Server:
    """Listens from the start; answers once `run` is called.

    Attributes:
      port: that it listens at.
      url: the address to open; whoever knows it can use the page.

    Raises:
      InputError: the port is taken.
    """

    def __init__(self, desk: Desk, port: int = 0) -> None:
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((HOST, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise InputError(
                f"--port={port}: cannot be listened at ({error}); give 0 for a free one"
            ) from None
        self._socket.listen()
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.url = f"http://{HOST}:{self.port}/{token}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(desk, self.port, token),
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
        """Answers until it is stopped, or interrupted."""
        with self._socket:
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Ends `run`, from another thread."""
        self._server.should_exit = True
