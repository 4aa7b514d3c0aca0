"""A web server around a model: a picture in, JSON out. It keeps no picture."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.sample import Reject
from stages.predict.predictor import Predictor

if TYPE_CHECKING:
    from stages.commands.serve import Serve

PAGE = Path(__file__).parent / "page"
PLACES = {"/": "index.html", "/docs": "docs.html", "/openapi.json": "openapi.json"}
WAITING = 16  # uploads held in memory beyond those that a thread works on
CONNECTIONS = 256  # more are turned away
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
REFUSALS = {
    "empty": (400, "The request has no body: send the bytes of a picture."),
    "not_an_image": (415, "These bytes are no picture."),
    "unsupported_format": (415, "This format is not opened: send a JPEG or PNG."),
    "too_large": (413, "The picture has too many pixels: send it smaller."),
    "truncated": (422, "The file ends before the picture does: send the whole file."),
    "corrupt": (422, "The file is damaged, it does not decode: save the picture anew."),
}


class Refused(Exception):
    """A request that gets no answer: the HTTP status, a fixed word, and a sentence."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        self.status, self.reason, self.detail = status, reason, detail


class Desk:
    """Takes pictures in, a bounded number at a time; a few threads answer them.

    Memory stays bounded because a request has its place before its body is read, and gives it
    up when its thread is done, not when its client has lost patience.
    """

    def __init__(self, model: Path, settings: Serve, threads: int, seconds: float) -> None:
        """Loads everything; `seconds` for an upload, and again for its answer. Raises Trouble."""
        self.predictor = Predictor(model, settings.faces)
        self.settings, self._seconds = settings, seconds
        self._places = threading.BoundedSemaphore(max(1, threads) + WAITING)
        self._pool = ThreadPoolExecutor(max(1, threads), "predict")
        chain = self.predictor.chain
        normalize = replace(chain.normalize, max_megapixels=settings.max_megapixels)
        self.predictor.chain = replace(chain, normalize=normalize)
        self._warm_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _warm_up(self) -> None:
        """Load the face models now: what is missing is said before the first picture comes."""
        black = np.zeros((128, 128, 3), np.uint8)
        face = [0, 0, 128, 128] if self.predictor.chain.faces else None
        self.predictor(black)
        self.predictor.answers([("", self.predictor.chain.cut(black, face))])

    async def predict(self, request: Request) -> Response:
        """POST: the bytes of a picture, to what page/openapi.json calls Prediction."""
        _check(request)
        if not self._places.acquire(blocking=False):
            await self._body(request, keep=False)
            raise Refused(503, "busy", "Too many pictures wait: ask again in a second.")
        try:
            job = self._pool.submit(self._answer, await self._body(request))
        except BaseException:
            self._places.release()
            raise
        job.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(self._seconds):
                return JSONResponse(await asyncio.wrap_future(job))
        except TimeoutError:
            detail = f"No answer within {self._seconds:g} seconds: send a smaller picture."
            raise Refused(503, "timed_out", detail) from None

    async def health(self, request: Request) -> Response:
        """GET: labels and limits."""
        own = self.settings
        return JSONResponse(
            {
                "status": "ok",
                "labels": self.predictor.labels,
                "faces": own.faces,
                "max_megabytes": own.max_megabytes,
                "max_megapixels": own.max_megapixels,
            }
        )

    def _answer(self, data: bytes) -> dict[str, Any]:
        """What is said of a picture. Raises Refused for bytes that are none."""
        began = time.perf_counter()
        try:
            image = self.predictor.read(data)
        except Reject as reject:
            status, detail = REFUSALS.get(reject.reason, (422, "This picture is not taken."))
            raise Refused(status, reject.reason, detail) from None
        answers = [answer.as_dict() for answer in self.predictor(image)]
        height, width = image.shape[:2]
        taken = round((time.perf_counter() - began) * 1000, 1)
        return {"width": width, "height": height, "milliseconds": taken, "answers": answers}

    async def _body(self, request: Request, keep: bool = True) -> bytes:
        """The body, whose excess is read too, up to the limit once more, but not kept.

        A client that is cut off while it still sends would never see why.
        """
        limit = int(self.settings.max_megabytes * 1e6)
        data, size = bytearray(), 0
        try:
            async with asyncio.timeout(self._seconds), aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > limit or not keep:
                        data.clear()
                    else:
                        data += chunk
                    if size > 2 * limit:
                        break
        except ClientDisconnect:
            raise Refused(400, "disconnected", "The upload broke off.") from None
        except TimeoutError:
            detail = f"The upload took over {self._seconds:g} seconds."
            raise Refused(408, "too_slow", detail) from None
        if size > limit:
            most = f"The upload is over {self.settings.max_megabytes:g} MB"
            raise Refused(413, "too_large", f"{most}: send a smaller file.")
        return bytes(data)


def server(desk: Desk, loopback: bool) -> uvicorn.Server:
    """The server, not yet running; `loopback` lets only requests in that name this machine."""
    hosts = ["127.0.0.1", "localhost", "[::1]"] if loopback else ["*"]
    app = Starlette(
        routes=[
            Route("/predict", desk.predict, methods=["POST"]),
            Route("/health", desk.health),
            *(Route(path, partial(_file, PAGE / name)) for path, name in PLACES.items()),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={Refused: _refused, HTTPException: _no_such, Exception: _failed},
    )
    return uvicorn.Server(
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
            timeout_graceful_shutdown=1,  # seconds; an answer takes milliseconds
        )
    )


def _check(request: Request) -> None:
    """Raises Refused for what another site's page sends, and for forms."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Refused(403, "other_site", "Another site's page may not ask here.")
    if request.headers.get("content-type", "").startswith("multipart/"):
        detail = "Send the bytes of the picture themselves as the body, not a form."
        raise Refused(415, "form", detail)


async def _file(path: Path, request: Request) -> Response:
    return FileResponse(path)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"reason": error.reason, "detail": error.detail}, error.status)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = HTTPStatus(error.status_code).name.lower()
    told = {"reason": reason, "detail": f"{error.detail}: see /docs."}
    return JSONResponse(told, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    detail = "The server failed at this; its terminal says more."
    return JSONResponse({"reason": "failed", "detail": detail}, 500)
