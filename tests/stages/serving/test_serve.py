"""The server by HTTP: answers as openapi.json says, refusals with reasons, a clean end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import ROOT, SHARED, Command
from PIL import Image as Pillow
from served import LABELS, Served, portrait_file, serving, small_model
from starlette.applications import Starlette

from stages.predict.predictor import Predictor
from stages.serving.service import REFUSALS, WAITING
from stages.serving.web import HEADERS, PAGE, http_server

API = json.loads((PAGE / "openapi.json").read_text(encoding="utf-8"))
PIXELS = 1_000_000  # the server's limit here; the portrait has a quarter of it
BYTES = 1_500_000
WORKERS = 2
Reply = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Served]:
    limits = ("--max-megapixels", PIXELS / 1e6, "--max-megabytes", BYTES / 1e6)
    with serving(model, *limits, "--workers", WORKERS) as served:
        yield served


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return portrait_file(tmp_path_factory.mktemp("photo")).read_bytes()


def exchange(
    server: Served,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[HTTPResponse, bytes]:
    """A request on a connection of its own; the reply and its body."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request(method, path, body, headers or {}, encode_chunked=True)
        reply = connection.getresponse()
        return reply, reply.read()


def ask(server: Served, body: bytes, path: str = "/predict", **headers: str) -> Reply:
    """Status and JSON of a request, which are as openapi.json says."""
    method = "get" if path == "/health" else "post"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    reply, text = exchange(server, method.upper(), path, body or None, sent)
    content = json.loads(text)
    described = API["paths"][path][method]["responses"][str(reply.status)]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.validate(content, {**schema, "components": API["components"]})
    return reply.status, content


def png(height: int, width: int, seed: int | None = None) -> bytes:
    """A grey picture, or noise."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    if seed is not None:
        pixels = np.random.default_rng(seed).integers(0, 256, pixels.shape, np.uint8)
    whole = BytesIO()
    Pillow.fromarray(pixels).save(whole, "PNG")
    return whole.getvalue()


def test_the_answer_is_the_predictors(server: Served, model: Path, photo: bytes) -> None:
    status, content = ask(server, photo)
    predictor = Predictor(model)
    (expected,) = predictor(predictor.read(photo))
    (answer,) = content["answers"]
    assert status == 200 and (content["width"], content["height"]) == (512, 512)
    assert answer.pop("probabilities") == pytest.approx(
        dict(zip(LABELS, expected.shares, strict=True)), abs=1e-6
    )
    known = expected.as_dict()
    assert answer == {name: known[name] for name in answer}
    assert answer["face"] and answer["crop"] and len(answer["landmarks"]) == 68


def test_a_picture_without_a_face_has_a_reason(server: Served) -> None:
    status, content = ask(server, png(300, 400))
    (answer,) = content["answers"]
    assert status == 200 and (content["width"], content["height"]) == (400, 300)
    assert answer["reason"] == "no_face" and answer["label"] is None


def test_the_page_has_a_sentence_for_each_reason_of_a_picture_that_was_read() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    reasons = re.findall(r"^\| `(\w+)` \| (?:faces|lips) \|", readme, re.MULTILINE)
    script = (PAGE / "page.js").read_text(encoding="utf-8")
    assert "no_face" in reasons and all(f"  {reason}: " in script for reason in reasons)


def test_health_tells_labels_and_limits(server: Served) -> None:
    assert ask(server, b"", "/health") == (
        200,
        {
            "status": "ok",
            "labels": LABELS,
            "faces": "largest",
            "max_megabytes": BYTES / 1e6,
            "max_megapixels": PIXELS / 1e6,
        },
    )


def test_malformed_uploads_are_refused_with_the_reason(server: Served, photo: bytes) -> None:
    middle = photo[:3000] + bytes(2000) + photo[5000:]
    for body, reason in (
        (b"", "empty"),
        (b"hello", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (photo[: len(photo) // 2], "truncated"),
        (middle, "corrupt"),
        (png(1001, 1000), "too_large"),
    ):
        status, detail = REFUSALS[reason]
        assert ask(server, body) == (status, {"reason": reason, "detail": detail})


def test_a_picture_that_declares_billions_of_pixels_is_refused_at_once(server: Served) -> None:
    bomb = bytearray(png(8, 8))
    bomb[16:24] = (50_000).to_bytes(4) * 2
    began = time.monotonic()
    status, content = ask(server, bytes(bomb))
    assert 400 <= status < 500 and content["reason"] in ("too_large", "corrupt")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("size", [BYTES + 1, 2 * BYTES])
def test_large_uploads_are_refused(server: Served, size: int) -> None:
    assert ask(server, bytes(size)) == (
        413,
        {"reason": "too_large", "detail": "The upload is over 1.5 MB: send a smaller file."},
    )


def test_an_upload_without_a_declared_length_is_bounded_too(server: Served) -> None:
    chunks = iter([bytes(BYTES // 2)] * 3)
    reply, _ = exchange(server, "POST", "/predict", chunks, {"Transfer-Encoding": "chunked"})
    assert reply.status == 413


def test_forms_and_other_sites_are_refused(server: Served, photo: bytes) -> None:
    form = ask(server, photo, content_type="multipart/form-data; boundary=x")
    assert (form[0], form[1]["reason"]) == (415, "form")
    for site in ("cross-site", "same-site"):
        status, content = ask(server, photo, sec_fetch_site=site)
        assert (status, content["reason"]) == (403, "other_site")
    assert ask(server, photo, sec_fetch_site="same-origin")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("GET", "/", "localhost", 200),
        ("GET", "/docs", "localhost", 200),
        ("GET", "/openapi.json", "localhost", 200),
        ("GET", "/page/page.js", "localhost", 200),
        ("GET", "/predict", "localhost", 405),
        ("GET", "/nothing", "localhost", 404),
        ("GET", "/page/../web.py", "localhost", 404),
        ("GET", "/page/%2e%2e/web.py", "localhost", 404),
        ("GET", "/", "evil.example", 400),  # a name that its owner points at this machine
    ],
)
def test_paths_and_names(server: Served, method: str, path: str, host: str, status: int) -> None:
    reply, body = exchange(server, method, path, headers={"Host": host})
    assert reply.status == status and body
    assert all(reply.headers[name] == value for name, value in HEADERS.items())
    assert "server" not in reply.headers
    if status in (404, 405):
        assert set(json.loads(body)) == {"reason", "detail"}


def test_connections_at_once_get_their_own_answers(server: Served, photo: bytes) -> None:
    bodies = [photo if number % 3 else png(200 + number, 300) for number in range(30)]
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda body: ask(server, body), bodies))
    alone = ask(server, photo)[1]["answers"]
    for number, (status, content) in enumerate(replies):
        assert status == 200
        if number % 3:
            assert content["answers"] == alone
        else:
            assert (
                content["height"] == 200 + number and content["answers"][0]["reason"] == "no_face"
            )


def half_an_upload(server: Served) -> socket.socket:
    """A connection whose request does not end."""
    line = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    line.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nhalf")
    return line


def test_more_uploads_than_there_is_room_for_are_sent_away(server: Served, photo: bytes) -> None:
    waiting = [half_an_upload(server) for _ in range(WORKERS + WAITING)]
    deadline = time.monotonic() + 10
    while (reply := ask(server, photo))[0] != 503 and time.monotonic() < deadline:
        pass  # the server may not yet have read all of those
    assert (reply[0], reply[1]["reason"]) == (503, "busy")
    for line in waiting:
        line.close()
    deadline = time.monotonic() + 10
    while (reply := ask(server, photo))[0] != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert reply[0] == 200  # every place is given back: none of those ever ended


def test_slow_uploads_end(model: Path) -> None:
    with serving(model, "--timeout", 1) as server, half_an_upload(server) as slow:
        assert b"408 Request Timeout" in slow.recv(4096)


@pytest.mark.parametrize("timeout", [1, 60])
@pytest.mark.parametrize("head_start", [0, 0.3])
def test_the_server_ends_while_uploads_are_under_way(
    model: Path, timeout: float, head_start: float
) -> None:
    with (
        serving(model, "--timeout", timeout) as server,
        half_an_upload(server),
        half_an_upload(server),
    ):
        time.sleep(head_start)
        server.process.send_signal(signal.SIGINT)
        output, errors = server.process.communicate(timeout=30)
    assert (server.process.returncode, output, errors) == (0, "serve: ended\n", "")


def test_an_interrupt_before_the_event_loop_runs_ends_the_server() -> None:
    moment = 1
    while not runs_before_interrupt(moment):
        moment += 1
    assert moment > 10


def runs_before_interrupt(moment: int) -> bool:
    """Press Ctrl-C at call or return number `moment` of a server's start, or when it runs."""
    files = {module.__file__ for module in (asyncio.runners, signal)}
    left = moment
    runs = False

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left, runs
        left -= frame.f_code.co_filename in files
        runs = asyncio._get_running_loop() is not None
        if left == 0 or runs:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has none
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(KeyboardInterrupt):
        sys.setprofile(count)
        try:
            http_server(Starlette()).run(sockets=[listener])
        finally:
            sys.setprofile(None)
            signal.signal(signal.SIGINT, before)
    return runs


def test_a_port_that_is_taken_says_so(pipeline: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = pipeline("serve", "--model", tmp_path, "--port", port, code=1)
    assert done.stdout == ""
    assert done.stderr == (
        f"cannot listen at 127.0.0.1, port {port} (Address already in use): "
        "give another --port or --host\n"
    )


def test_without_a_model_it_does_not_start(pipeline: Command, tmp_path: Path) -> None:
    done = pipeline("serve", "--model", tmp_path / "x.onnx", "--port", 0, code=1)
    assert done.stderr.startswith(f"{tmp_path}/x.onnx: no such model") and done.stdout == ""


@pytest.mark.skipif(not (SHARED / "hostile").is_dir(), reason="needs ../shared/hostile")
def test_no_file_makes_it_fail(server: Served) -> None:
    """ask() holds each reply against openapi.json, which knows no 500."""
    bodies = [path.read_bytes() for path in sorted((SHARED / "hostile").rglob("*.*"))]
    with ThreadPoolExecutor(4) as pool:
        statuses = {status for status, _ in pool.map(lambda body: ask(server, body), bodies)}
    assert {200, 415, 422} <= statuses and 500 not in statuses
