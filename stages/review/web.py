"""The review page's server: this machine only, one token, and no request from another page."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.decisions import ByHand
from stages.review.catalogue import FILTERS, Catalogue
from stages.review.thumbnails import Thumbnails
from stages.serving import web as serving

PAGE = Path(__file__).parent / "page"
MOST = 500  # rows to an answer
IMAGE = {"Cache-Control": "private, max-age=3600"}


def server(catalogue: Catalogue, token: str, port: int) -> uvicorn.Server:
    """The server, not yet running. `token` must be in the address that opens the page."""
    pages = _Pages(catalogue)
    app = Starlette(
        routes=[
            Route("/", partial(_index, token, port)),
            Route("/facets", pages.facets),
            Route("/items", pages.items),
            Route("/item/{number:int}", pages.item),
            Route("/thumbnail/{number:int}", pages.thumbnail),
            Route("/picture/{number:int}", pages.picture),
            Route("/changes", pages.changes),
            Route("/decide", pages.decide, methods=["POST"]),
            Route("/restore", pages.restore, methods=["POST"]),
            Route("/icon.svg", _icon),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"], www_redirect=False
            ),
            Middleware(_Guard, token=token, port=port),
        ],
        exception_handlers={ValueError: _wrong, KeyError: _wrong, IndexError: _wrong},
    )
    return serving.http_server(app)


def new_token() -> str:
    return secrets.token_urlsafe(16)


class _Guard(BaseHTTPMiddleware):
    """Lets in who has the token, and changes nothing for a page of another origin."""

    def __init__(self, app: Any, token: str, port: int) -> None:
        super().__init__(app)
        self._token, self._port = token, port

    async def dispatch(self, request: Request, following: RequestResponseEndpoint) -> Response:
        given = request.query_params.get("token") or request.cookies.get(_cookie(self._port), "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return JSONResponse({"detail": "open the address that the terminal shows"}, 403)
        if request.method == "POST":
            origin = request.headers.get("origin", "")
            if origin != f"http://{request.headers.get('host', '')}":
                return JSONResponse({"detail": "another page may not decide"}, 403)
        return await following(request)


def _cookie(port: int) -> str:
    """The cookie's name: browsers share cookies between the ports of a machine."""
    return f"review-{port}"


async def _index(token: str, port: int, request: Request) -> Response:
    response = FileResponse(PAGE / "review.html")
    response.set_cookie(_cookie(port), token, httponly=True, samesite="strict")
    return response


async def _icon(request: Request) -> Response:
    return FileResponse(serving.PAGE / "icon.svg")


def _decision(row: list[Any]) -> ByHand:
    """A decision as JSON has it."""
    key, digest, word, label, crop = row
    return ByHand(key, digest, word, label, tuple(crop) if crop else None)


async def _wrong(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": f"this request cannot be read ({error!r})"}, 400)


class _Pages:
    """What the page asks for, in JSON and JPEG."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._thumbnails = Thumbnails()

    async def facets(self, request: Request) -> Response:
        """GET: the values of each filter with their counts, and the labels in order."""
        return JSONResponse(
            {
                "facets": self._catalogue.facets(),
                "labels": self._catalogue.labels,
                "version": self._catalogue.version,
            }
        )

    async def items(self, request: Request) -> Response:
        """GET: how many pictures a filter finds, and the rows from `start` on."""
        query = request.query_params
        found = self._catalogue.numbers_where(
            {name: query.get(name, "") for name in FILTERS}, query.get("order", "")
        )
        start = int(query.get("start", 0))
        stop = start + min(MOST, int(query.get("count", MOST)))
        rows = [self._catalogue.row(number) for number in found[start:stop]]
        return JSONResponse({"total": len(found), "start": start, "rows": rows})

    async def item(self, request: Request) -> Response:
        """GET: all that is known of one picture."""
        return JSONResponse(self._catalogue.about(request.path_params["number"]))

    def thumbnail(self, request: Request) -> Response:
        """GET: a small JPEG of the picture as the last stage saw it."""
        item = self._catalogue.items[request.path_params["number"]]
        data = self._thumbnails(self._catalogue.processed / item.latest)
        if data is None:
            raise HTTPException(404)
        return Response(data, media_type="image/jpeg", headers=IMAGE)

    def picture(self, request: Request) -> Response:
        """GET: the upright picture as it was normalized."""
        item = self._catalogue.items[request.path_params["number"]]
        picture = self._catalogue.processed / item.picture
        if not picture.is_file():
            raise HTTPException(404)
        return FileResponse(picture, media_type="image/jpeg", headers=IMAGE)

    async def changes(self, request: Request) -> Response:
        """GET: the rows that were decided on after version `since`."""
        changed = self._catalogue.changed(int(request.query_params["since"]))
        return self._rows(changed)

    async def decide(self, request: Request) -> Response:
        """POST numbers, decision, and if wanted label and crop; answers with the rows, and with
        what `restore` takes to undo it.
        """
        wanted = await request.json()
        numbers = [int(number) for number in wanted["numbers"]]
        if wanted["decision"] not in ("keep", "drop", ""):
            raise ValueError(wanted["decision"])
        label, crop = wanted.get("label"), wanted.get("crop")
        if label is not None and label not in self._catalogue.labels:
            raise ValueError(label)
        if crop is not None:
            left, top, side = map(int, crop)
            crop = (left, top, max(1, side))
        before = [self._catalogue.decision(number) for number in numbers]
        self._catalogue.decide(numbers, wanted["decision"], label, crop)
        return self._rows(numbers, before)

    async def restore(self, request: Request) -> Response:
        """POST what `decide` gave as `before`."""
        before = [_decision(row) for row in (await request.json())["before"]]
        since = self._catalogue.version
        self._catalogue.restore(before)
        return self._rows(self._catalogue.changed(since))

    def _rows(self, numbers: list[int], before: list[ByHand] | None = None) -> Response:
        rows = [self._catalogue.row(number) for number in numbers]
        content = {"rows": rows, "version": self._catalogue.version, "before": before or []}
        return JSONResponse(content)
