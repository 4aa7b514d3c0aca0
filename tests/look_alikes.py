"""Servers on loopback that look like Openverse, Wikimedia Commons, Bing and a host of pictures."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PAGE = 20


@dataclass
class Web:
    """What the servers have: pictures by path, and how often each path was asked for."""

    pictures: dict[str, bytes]
    robots: str | None = None
    asked: Counter[str] = field(default_factory=Counter)
    queries: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    port: int = 0

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def web(pictures: dict[str, bytes], robots: str | None = None) -> Iterator[Web]:
    """Serve `pictures` and searches for them."""
    state = Web(pictures, robots)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Look", (_Look,), {"web": state}))
    server.daemon_threads = True
    state.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


class _Look(BaseHTTPRequestHandler):
    web: Web

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.web.asked[parts.path] += 1
        self.web.times.append(time.monotonic())
        self.web.queries.append({"path": parts.path, "agent": self.headers["User-Agent"], **query})
        name = parts.path.strip("/").split("/")[0].replace("robots.txt", "robots")
        getattr(self, f"_{name}", self._picture)(query)

    def _picture(self, query: dict[str, str]) -> None:
        path = urlsplit(self.path).path
        if path in self.web.pictures:
            self._send(self.web.pictures[path], "text/html")  # the header says something else
        else:
            self._send(b"no such page", status=404)

    def _robots(self, query: dict[str, str]) -> None:
        if self.web.robots is None:
            self._send(b"", status=404)
        else:
            self._send(self.web.robots.encode())

    def _openverse(self, query: dict[str, str]) -> None:
        paths = list(self.web.pictures)
        start = (int(query["page"]) - 1) * PAGE
        results = [
            {
                "url": self.web.at(path),
                "foreign_landing_url": self.web.at(f"/page{path}"),
                "title": f"A face, {path}",
                "creator": "=Anna, the photographer",
                "license": "by",
                "license_version": "4.0",
                "license_url": "https://creativecommons.org/licenses/by/4.0/",
            }
            for path in paths[start : start + PAGE]
        ]
        pages = -(-len(paths) // PAGE)
        self._send_json({"result_count": len(paths), "page_count": pages, "results": results})

    def _commons(self, query: dict[str, str]) -> None:
        paths, start = list(self.web.pictures), int(query.get("gsroffset", 0))
        pages = {
            str(1000 - place): {
                "index": place,
                "title": f"File:{path}",
                "imageinfo": [
                    {
                        "url": self.web.at(path),
                        "descriptionurl": self.web.at(f"/page{path}"),
                        "extmetadata": {
                            "License": {"value": ("cc-by-sa-3.0", "gfdl", "pd")[place % 3]},
                            "LicenseUrl": {"value": "https://creativecommons.org/licenses/"},
                            "Artist": {"value": '<a href="x">Bert &amp; <b>Co</b></a>'},
                        },
                    }
                ],
            }
            for place, path in enumerate(paths[start : start + PAGE], start)
        }
        more: dict[str, Any] = {}
        if start + PAGE < len(paths):
            more = {"continue": {"gsroffset": start + PAGE, "continue": "gsroffset||"}}
        self._send_json({"query": {"pages": pages}, **more} if pages else {"batchcomplete": ""})

    def _bing(self, query: dict[str, str]) -> None:
        start = int(query["first"])
        shown = list(self.web.pictures)[start : start + PAGE]
        items = (json.dumps({"murl": self.web.at(path)}, separators=(",", ":")) for path in shown)
        page = "".join(
            f'<div class="imgpt"><a m="{item.replace(chr(34), "&quot;")}"></a></div>'
            for item in items
        )
        self._send(f"<html>{page}</html>".encode())

    def _moved(self, query: dict[str, str]) -> None:
        """To the address in `to`; in a circle where there is none."""
        self.send_response(302)
        self.send_header("Location", query.get("to", self.path))
        self.end_headers()

    def _busy(self, query: dict[str, str]) -> None:
        """Asks for `after` seconds of patience the first time; later gives the first picture."""
        if self.web.asked["/busy"] == 1 or int(query["after"]) > 1:
            self._send(b"", status=429, headers={"Retry-After": query["after"]})
        else:
            self._send(next(iter(self.web.pictures.values())))

    def _cut(self, query: dict[str, str]) -> None:
        """Promises more than it sends."""
        self._send(b"\xff\xd8\xff", headers={"Content-Length": "1000"})

    def _endless(self, query: dict[str, str]) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(1 << 14):  # a gigabyte
            try:
                self.wfile.write(bytes(1 << 16))
            except OSError:
                return

    def _send_json(self, content: dict[str, Any]) -> None:
        self._send(json.dumps(content).encode(), "application/json")

    def _send(
        self,
        body: bytes,
        kind: str = "image/jpeg",
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
