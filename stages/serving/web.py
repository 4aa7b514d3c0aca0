"""A web server around a prediction service: the page, the JSON endpoint, the headers."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from http import HTTPStatus
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stages.serving.service import PredictionService, Refused

PAGE = Path(__file__).parent / "page"
PLACES = {"/": "index.html", "/docs": "docs.html", "/openapi.json": "openapi.json"}
CONNECTIONS = 256  # more are turned away
GRACE = 1.0  # seconds that a server which ends gives its connections; an answer takes milliseconds
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}


def server(service: PredictionService, loopback: bool) -> uvicorn.Server:
    """The server, not yet running; with `loopback`, requests must name this machine as host."""
    hosts = ["127.0.0.1", "localhost", "[::1]"] if loopback else ["*"]
    app = Starlette(
        routes=[
            Route("/predict", service.predict, methods=["POST"]),
            Route("/health", service.health),
            *(Route(path, partial(_file, PAGE / name)) for path, name in PLACES.items()),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={Refused: _refused, HTTPException: _no_such, Exception: _failed},
    )
    return http_server(app)


def http_server(app: Starlette) -> uvicorn.Server:
    """An application behind HTTP with the security headers, not yet running."""
    return _Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            headers=list(HEADERS.items()),
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
        )
    )


class _Server(uvicorn.Server):
    """A server that ends without a word while uploads are under way.

    uvicorn's own limit (`timeout_graceful_shutdown`) prints a message, cancels requests and
    leaves their connections open.
    """

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes; after a Ctrl-C, raises KeyboardInterrupt when all is closed.

        uvicorn handles signals only once the event loop runs. A Ctrl-C shortly before that can end
        asyncio with CancelledError, so signals are handled from here on.
        """
        with self.capture_signals():
            super().run(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(GRACE, self._cut)
        await super().shutdown(sockets)

    def _cut(self) -> None:
        """End the connections that are left; their requests see that the client is gone."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


async def _file(path: Path, request: Request) -> Response:
    return FileResponse(path)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"reason": error.reason, "detail": error.detail}, error.status)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = HTTPStatus(error.status_code).name.lower()
    content = {"reason": reason, "detail": f"{error.detail}: see /docs."}
    return JSONResponse(content, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    detail = "The server failed at this; its terminal says more."
    return JSONResponse({"reason": "failed", "detail": detail}, 500)
