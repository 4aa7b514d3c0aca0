"""Fetching: what a server does wrong costs one address, and no private network is asked."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from look_alikes import Web, web

from stages.collecting.fetch import REDIRECTS, Fetcher, Refused

PICTURE = b"\xff\xd8\xff and so on"


@pytest.fixture(scope="module")
def server() -> Iterator[Web]:
    with web(
        {"/one.jpg": PICTURE, "/hidden/two.jpg": b"2"}, "User-agent: *\nDisallow: /hidden/"
    ) as w:
        yield w


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher("me@example.org", "loopback", pause=0.01, most_bytes=1_000_000)


def reason(fetcher: Fetcher, address: str) -> str:
    with pytest.raises(Refused) as caught:
        fetcher.picture(address)
    return caught.value.reason


def test_a_picture_comes_as_it_is(server: Web, fetcher: Fetcher) -> None:
    assert fetcher.picture(server.at("/one.jpg")) == PICTURE


def test_hosts_are_told_who_asks(server: Web, fetcher: Fetcher) -> None:
    fetcher.picture(server.at("/one.jpg"))
    assert server.queries[-1]["agent"] == "lip-expression (me@example.org)"


def test_robots_txt_is_asked_once_and_obeyed(server: Web, fetcher: Fetcher) -> None:
    before = server.asked["/robots.txt"]
    assert reason(fetcher, server.at("/hidden/two.jpg")) == "robots"
    fetcher.picture(server.at("/one.jpg"))
    assert server.asked["/robots.txt"] == before + 1


def test_a_host_without_robots_txt_allows_all(fetcher: Fetcher) -> None:
    with web({"/one.jpg": PICTURE}) as without:
        assert fetcher.picture(without.at("/one.jpg")) == PICTURE


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nothing.jpg", "http_404"),
        ("/moved", "too_many_redirects"),
        ("/moved?to=http://10.0.0.1/x.jpg", "private_address"),
        ("/moved?to=http://169.254.169.254/latest/meta-data", "private_address"),
        ("/moved?to=http://[fe80::1]/x.jpg", "private_address"),
        ("/moved?to=file:///etc/passwd", "not_http"),
        ("/moved?to=ftp://127.0.0.1/x.jpg", "not_http"),
        ("/endless", "too_large"),
        ("/cut", "unreachable"),
        ("/busy?after=3600", "busy"),
    ],
)
def test_what_a_server_does_wrong_has_a_word(
    path: str, expected: str, server: Web, fetcher: Fetcher
) -> None:
    assert reason(fetcher, server.at(path)) == expected


@pytest.mark.parametrize("address", ["file:///etc/passwd", "one.jpg", "", "http://", "http://[/x"])
def test_what_is_no_web_address_is_not_asked(address: str, fetcher: Fetcher) -> None:
    assert reason(fetcher, address) == "not_http"


def test_redirects_are_followed_as_far_as_they_may_go(server: Web, fetcher: Fetcher) -> None:
    before = server.asked["/moved"]
    reason(fetcher, server.at("/moved"))
    assert server.asked["/moved"] == before + REDIRECTS + 1
    assert fetcher.picture(server.at("/moved?to=/one.jpg")) == PICTURE


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"])
def test_this_machine_is_not_asked_unless_allowed(host: str, server: Web) -> None:
    before = server.asked.total()
    assert reason(Fetcher(pause=0), f"http://{host}:{server.port}/one.jpg") == "private_address"
    assert server.asked.total() == before


def test_a_server_s_wish_for_patience_is_met(server: Web, fetcher: Fetcher) -> None:
    server.asked["/busy"] = 0
    began = time.monotonic()
    assert fetcher.picture(server.at("/busy?after=1")) == PICTURE
    assert time.monotonic() - began >= 1


def test_a_host_is_asked_once_in_a_pause(server: Web) -> None:
    fetcher = Fetcher(reach="loopback", pause=0.2)
    del server.times[:]
    for _ in range(3):
        fetcher.picture(server.at("/one.jpg"))
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert len(gaps) == 3 and min(gaps) >= 0.19  # robots.txt is the first
