"""Search engines for pictures. Each yields candidates in the engine's own order."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from pipeline.trouble import Trouble
from stages.collecting.fetch import Fetcher, Parameters, Refused

OPENVERSE = "https://api.openverse.org/v1/images/"
COMMONS = "https://commons.wikimedia.org/w/api.php"
BING = "https://www.bing.com/images/async"
PAGES = 20  # that Openverse gives without a key
LONG_SIDE = 1600  # pixels; Commons has originals of a hundred megapixels


class Candidate(NamedTuple):
    """A picture that an engine or a list names, with what the licence asks to be told."""

    address: str
    page: str = ""
    title: str = ""
    creator: str = ""
    licence: str = ""
    licence_address: str = ""
    query: str = ""
    label: str = ""


Engine = Callable[[Fetcher, str, Sequence[str], str | None], Iterator[Candidate]]


def openverse(
    fetcher: Fetcher, query: str, licences: Sequence[str], endpoint: str | None
) -> Iterator[Candidate]:
    """Openverse, without a key: 20 pictures a page, 20 pages."""
    for page in range(1, PAGES + 1):
        asked: Parameters = {
            "q": query,
            "license": ",".join(licences),
            "page_size": 20,
            "page": page,
        }
        found = _json(fetcher, endpoint or OPENVERSE, asked)
        for item in found.get("results", []):
            about = {name: str(value or "") for name, value in item.items()}
            yield Candidate(
                about.get("url", ""),
                about.get("foreign_landing_url", ""),
                about.get("title", ""),
                about.get("creator", ""),
                f"{about.get('license', '')} {about.get('license_version', '')}".strip(),
                about.get("license_url", ""),
                query,
            )
        if page >= found.get("page_count", 0):
            return


def commons(
    fetcher: Fetcher, query: str, licences: Sequence[str], endpoint: str | None
) -> Iterator[Candidate]:
    """Wikimedia Commons: every page of a search among its bitmap files."""
    asked: dict[str, str | int] = {
        "action": "query",
        "format": "json",
        "generator": "search",
        "gsrsearch": f"filetype:bitmap {query}",
        "gsrnamespace": 6,  # files
        "gsrlimit": 50,
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata",
        "iiurlwidth": LONG_SIDE,
    }
    while True:
        found = _json(fetcher, endpoint or COMMONS, asked)
        pages = found.get("query", {}).get("pages", {}).values()
        for page in sorted(pages, key=lambda page: page.get("index", 0)):
            for file in page.get("imageinfo", []):
                candidate = _commons_candidate(page, file, query)
                if candidate.licence.split()[0] in licences:
                    yield candidate
        if "continue" not in found:
            return
        asked |= found["continue"]


def _commons_candidate(page: dict[str, Any], file: dict[str, Any], query: str) -> Candidate:
    about = {name: _text(entry["value"]) for name, entry in file.get("extmetadata", {}).items()}
    return Candidate(
        file.get("thumburl") or file["url"],
        file.get("descriptionurl", ""),
        about.get("ObjectName", page.get("title", "").removeprefix("File:")),
        about.get("Artist", ""),
        _commons_licence(about.get("License", "")),
        about.get("LicenseUrl", ""),
        query,
    )


def _commons_licence(name: str) -> str:
    """Commons' name of a licence by Creative Commons' code and version.

    >>> _commons_licence("cc-by-sa-4.0"), _commons_licence("pd-usgov"), _commons_licence("gfdl")
    ('by-sa 4.0', 'pdm', 'gfdl')
    """
    if name.startswith(("pd", "cc-pd")):
        return "pdm"
    found = re.match(r"(?:cc-)?(zero|cc0|by[a-z-]*[a-z])(?:-(\d\.\d))?", name)
    if not found:
        return name or "unknown"
    code = {"zero": "cc0"}.get(found[1], found[1])
    return f"{code} {found[2] or ''}".strip()


def _text(value: object) -> str:
    """A value of Commons, which is HTML, as text on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", str(value))).split())


def bing(
    fetcher: Fetcher, query: str, licences: Sequence[str], endpoint: str | None
) -> Iterator[Candidate]:
    """Bing's picture search, read by icrawler. It tells nothing of licences."""
    try:
        from icrawler.builtin.bing import BingParser
    except ImportError:
        extra = "pip install 'lip-expression[icrawler]'"
        raise Trouble(f"the engine bing needs icrawler: {extra}") from None

    seen: set[str] = set()
    for first in count(0, 20):
        page = fetcher.answer(endpoint or BING, {"q": query, "first": first})
        found = [item["file_url"] for item in BingParser.parse(None, _Page(page))]
        if seen.issuperset(found):
            return
        for address in found:
            if address not in seen:
                seen.add(address)
                yield Candidate(address, licence="unknown", query=query)


class _Page(NamedTuple):
    """What icrawler's parser takes for a response."""

    content: bytes


ENGINES: dict[str, Engine] = {"openverse": openverse, "commons": commons, "bing": bing}


def _json(fetcher: Fetcher, address: str, parameters: Parameters) -> dict[str, Any]:
    """Raises Trouble where the engine does not answer, or not in JSON."""
    try:
        answer = json.loads(fetcher.answer(address, parameters))
    except Refused as refused:
        raise Trouble(f"{address} does not answer ({refused}): try again later") from refused
    except ValueError as error:
        raise Trouble(f"{address} does not answer in JSON ({error})") from error
    if not isinstance(answer, dict):
        raise Trouble(f"{address} does not answer as it should: a JSON object was expected")
    return answer
