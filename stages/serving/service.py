"""Pictures in, answers out: a bounded number of requests at a time, and no picture is kept."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pipeline.sample import Facts, Reject
from stages.predict.predictor import Predictor

WAITING = 16  # uploads held in memory beyond those that a thread works on
REFUSALS = {
    "empty": (400, "The request has no body: send the bytes of a picture."),
    "not_an_image": (415, "These bytes are no picture."),
    "unsupported_format": (415, "This format is not opened: send a JPEG or PNG."),
    "too_large": (413, "The picture has too many pixels: send it smaller."),
    "truncated": (422, "The file ends before the picture does: send the whole file."),
    "corrupt": (422, "The file is damaged, it does not decode: save the picture anew."),
}


@dataclass(frozen=True)
class Limits:
    """What a request may be: megabytes sent, megapixels decoded, seconds for upload and answer."""

    megabytes: float = 20.0
    megapixels: float = 40.0
    seconds: float = 30.0


class Refused(Exception):
    """A request that gets no answer: the HTTP status, a fixed word, and a sentence."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        self.status, self.reason, self.detail = status, reason, detail


class PredictionService:
    """Takes pictures in, a bounded number at a time; a few threads answer them.

    Memory stays bounded: a request has its place before its body is read, and gives the place up
    when its thread is done, not when its client has lost patience.
    """

    def __init__(
        self, model: Path, faces: Literal["largest", "all"], limits: Limits, threads: int
    ) -> None:
        """Loads the model and the face models. Raises Trouble where one is missing or damaged."""
        self.predictor = Predictor(model, faces)
        self._faces, self._limits = faces, limits
        self._places = threading.BoundedSemaphore(max(1, threads) + WAITING)
        self._pool = ThreadPoolExecutor(max(1, threads), "predict")
        chain = self.predictor.chain
        normalize = replace(chain.normalize, max_megapixels=limits.megapixels)
        self.predictor.chain = replace(chain, normalize=normalize)
        self._warm_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _warm_up(self) -> None:
        """Load the face models now: a missing one is reported before the first picture comes."""
        black = np.zeros((128, 128, 3), np.uint8)
        face: Facts = {"face": [0, 0, 128, 128], "detector": "haar"}
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
            async with asyncio.timeout(self._limits.seconds):
                return JSONResponse(await asyncio.wrap_future(job))
        except TimeoutError:
            detail = f"No answer within {self._limits.seconds:g} seconds: send a smaller picture."
            raise Refused(503, "timed_out", detail) from None

    async def health(self, request: Request) -> Response:
        """GET: labels and limits."""
        return JSONResponse(
            {
                "status": "ok",
                "labels": self.predictor.labels,
                "faces": self._faces,
                "max_megabytes": self._limits.megabytes,
                "max_megapixels": self._limits.megapixels,
            }
        )

    def _answer(self, data: bytes) -> dict[str, Any]:
        """The JSON for a picture's bytes. Raises Refused where they cannot be read."""
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
        """The body. Raises Refused where it is too large, too slow or broken off.

        A body over the limit is read on, up to twice the limit, but not kept: a client that is
        cut off while it still sends would never see the reason.
        """
        limit = int(self._limits.megabytes * 1e6)
        data, size = bytearray(), 0
        try:
            async with asyncio.timeout(self._limits.seconds), aclosing(request.stream()) as chunks:
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
            detail = f"The upload took over {self._limits.seconds:g} seconds."
            raise Refused(408, "too_slow", detail) from None
        if size > limit:
            most = f"The upload is over {self._limits.megabytes:g} MB"
            raise Refused(413, "too_large", f"{most}: send a smaller file.")
        return bytes(data)


def _check(request: Request) -> None:
    """Raises Refused for a request from another site's page, and for a form."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Refused(403, "other_site", "Another site's page may not ask here.")
    if request.headers.get("content-type", "").startswith("multipart/"):
        detail = "Send the bytes of the picture themselves as the body, not a form."
        raise Refused(415, "form", detail)
