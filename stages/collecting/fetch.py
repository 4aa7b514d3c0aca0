"""Fetch bytes from the web: politely, and from public addresses only."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import requests
from protego import Protego
from requests_hardened import Config, HTTPSession
from requests_hardened.ip_filter import InvalidIPAddress

NAME = "lip-expression"  # what robots.txt may call this program
REDIRECTS = 5
TRIES = 3  # of a request that fails in passing
LONGEST_WAIT = 60.0  # seconds; a server that asks for more patience is left alone
SILENCE = 10.0  # seconds without a byte
Reach = Literal["public", "loopback", "any"]
Parameters = Mapping[str, str | int]


class Refused(Exception):
    """An address gives no picture: a short fixed word, and the detail behind it.

    `settled` is False where another day may bring another answer.
    """

    def __init__(self, reason: str, detail: str = "", settled: bool = True) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.settled = settled


class _Passing(Exception):
    """A failure that may be gone in a moment. `wait`: seconds that the server asks for."""

    def __init__(self, detail: str, wait: float = 0.0) -> None:
        super().__init__(detail)
        self.wait = wait


class _Redirect(NamedTuple):
    address: str


class _Host:
    """One host: whose turn it is to ask it, and what its robots.txt says."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._free_at = 0.0
        self.reading_rules = threading.Lock()
        self.rules: Protego | None = None

    @contextmanager
    def turn(self, pause: float, ended: threading.Event) -> Iterator[None]:
        """Wait until the host may be asked; nobody else asks it meanwhile."""
        with self._asking:
            _wait(self._free_at - time.monotonic(), ended)
            try:
                yield
            finally:
                self._free_at = time.monotonic() + pause


class Fetcher:
    """Fetches addresses; safe to call from several threads.

    Each host is asked once in `pause` seconds. Each address, those of redirects included, is
    resolved, checked and connected to in one go: private and loopback networks are refused unless
    `reach` says otherwise. Proxies are not used, since they would resolve the address themselves.
    """

    def __init__(
        self,
        contact: str | None = None,
        reach: Reach = "public",
        pause: float = 1.0,
        most_bytes: int = 50_000_000,
        most_seconds: float = 60.0,
    ) -> None:
        """`contact` tells the hosts whom to write to; the limits hold for each address."""
        self._config = Config(
            ip_filter_enable=reach != "any",
            ip_filter_allow_loopback_ips=reach == "loopback",
            never_redirect=True,  # `_follow` does it, with each host's pause and rules
            default_timeout=(SILENCE, SILENCE),
            user_agent_override=f"{NAME} ({contact or 'collects photographs for a data set'})",
        )
        self._pause = pause
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._thread = threading.local()
        self._ended = threading.Event()
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)

    def stop(self) -> None:
        """End the waiting of all threads: what they were asked for is refused, and not settled."""
        self._ended.set()

    def picture(self, address: str) -> bytes:
        """The bytes behind an address, where its host's robots.txt allows it.

        Raises Refused: `not_http`, `private_address`, `robots`, `http_404` and its like,
        `too_many_redirects`, `too_large`, `too_slow`, `unreachable`, `busy`.
        """
        return self._follow(address, {}, robots=True)

    def answer(self, address: str, parameters: Parameters) -> bytes:
        """What a search engine's programming interface answers. Raises Refused as `picture`."""
        return self._follow(address, parameters, robots=False)

    def _follow(self, address: str, parameters: Parameters, robots: bool) -> bytes:
        for _ in range(REDIRECTS + 1):
            host = self._host(address)
            if robots and not self._allowed(host, address):
                raise Refused("robots", "the host's robots.txt forbids it")
            reply = self._patiently(host, address, parameters)
            if isinstance(reply, bytes):
                return reply
            address, parameters = reply.address, {}
        raise Refused("too_many_redirects", f"more than {REDIRECTS}")

    def _host(self, address: str) -> _Host:
        try:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and parts.hostname:
                return self._hosts[parts.netloc.lower()]
        except ValueError:  # brackets that enclose no IPv6 address, and the like
            pass
        raise Refused("not_http", address)

    def _patiently(self, host: _Host, address: str, parameters: Parameters) -> bytes | _Redirect:
        """Ask until there is an answer, with longer pauses each time."""
        wait = self._pause
        for attempt in range(1, TRIES + 1):
            try:
                with host.turn(self._pause, self._ended):
                    return self._ask(address, parameters)
            except _Passing as passing:
                if attempt == TRIES or passing.wait > LONGEST_WAIT:
                    word = "busy" if passing.wait else "unreachable"
                    raise Refused(word, str(passing), settled=False) from passing
                wait = max(2 * wait, passing.wait)
                _wait(wait, self._ended)
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, address: str, parameters: Parameters) -> bytes | _Redirect:
        try:
            with self._session().get(address, params=dict(parameters), stream=True) as response:
                if response.is_redirect:
                    return _Redirect(urljoin(response.url, response.headers["location"]))
                _check(response)
                return self._body(response)
        except InvalidIPAddress as error:
            raise Refused("private_address", f"{error} is no public address") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Refused("not_http", str(error)) from error
        except (requests.RequestException, OSError) as error:
            raise _Passing(type(error).__name__) from error

    def _body(self, response: requests.Response) -> bytes:
        """The whole body. It is read no further than the limits allow, whatever its header says."""
        began, body = time.monotonic(), bytearray()
        for part in response.iter_content(1 << 16):
            body += part
            if len(body) > self._most_bytes:
                raise Refused("too_large", f"over {self._most_bytes / 1e6:,.0f} MB")
            if time.monotonic() - began > self._most_seconds:
                raise Refused("too_slow", f"over {self._most_seconds:,.0f} s", settled=False)
        return bytes(body)

    def _allowed(self, host: _Host, address: str) -> bool:
        """Whether robots.txt lets this program fetch an address. A host without one allows all
        (RFC 9309, 2.3.1.3).
        """
        with host.reading_rules:
            if host.rules is None:
                try:
                    text = self.answer(urljoin(address, "/robots.txt"), {})
                except Refused as refused:
                    if not refused.settled:
                        raise
                    text = b""
                host.rules = Protego.parse(text.decode("utf-8", "replace"))
        return bool(host.rules.can_fetch(address, NAME))

    def _session(self) -> HTTPSession:
        """A session of this thread's own: requests does not promise to share one."""
        if not hasattr(self._thread, "session"):
            session = HTTPSession(self._config)
            session.trust_env = False
            self._thread.session = session
        return cast(HTTPSession, self._thread.session)


def _wait(seconds: float, ended: threading.Event) -> None:
    """Wait unless it is negative. Raises Refused: `stopped`."""
    if ended.wait(max(0.0, seconds)):
        raise Refused("stopped", settled=False)


def _check(response: requests.Response) -> None:
    """Raises _Passing for a server that is busy, Refused for another that gives nothing."""
    status = response.status_code
    if status == 429 or status >= 500:
        raise _Passing(f"http_{status}", _seconds(response.headers.get("retry-after", "1")))
    if status != 200:
        raise Refused(f"http_{status}", response.reason or "")


def _seconds(retry_after: str) -> float:
    """Retry-After as seconds; a date is taken as a request for the longest wait."""
    return float(retry_after) if retry_after.isdecimal() else LONGEST_WAIT
