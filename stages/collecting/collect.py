"""Fetch candidates into a label's folder until there are enough of them."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pipeline import files
from pipeline.sample import Reject
from pipeline.sources import Source, append, read
from stages.collecting.engines import Candidate
from stages.collecting.fetch import Fetcher, Refused

THREADS = 8  # hosts that are asked at the same time
MEGAPIXELS = 100  # of an icon; other pictures are judged when they are normalized
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif"}
"""Of the formats whose suffix is not their own name."""


class Fetched(NamedTuple):
    """What became of a candidate: a picture, or the reason why there is none."""

    candidate: Candidate
    data: bytes = b""
    suffix: str = ""
    refused: str = ""
    settled: bool = True


def collect(
    folder: Path, candidates: Iterable[Candidate], fetcher: Fetcher, most: int
) -> Iterator[Counter[str]]:
    """Fetch pictures into `folder` until it has `most`, those of earlier runs included.

    Yields the counts so far after each candidate: "kept", and refusals by reason. A picture is in
    its place before its row in sources.csv is, so a killed run loses none and fetches none twice.
    """
    sources = read(folder)
    addresses = {source.address for source in sources}
    digests = {source.sha256 for source in sources if source.file}
    counts = Counter(kept=sum(bool(source.file) for source in sources))
    fresh = _fresh(candidates, addresses)
    pending: deque[Future[Fetched]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            while True:
                room = min(THREADS, most - counts["kept"]) - len(pending)
                chosen = islice(fresh, max(0, room))
                pending.extend(pool.submit(_fetch, fetcher, candidate) for candidate in chosen)
                if not pending:
                    return
                fetched = pending.popleft().result()
                source = _keep(folder, fetched, digests)
                if fetched.settled:
                    append(folder, [source])
                counts[source.refused or "kept"] += 1
                yield counts
        finally:
            fetcher.stop()


def _fresh(candidates: Iterable[Candidate], addresses: set[str]) -> Iterator[Candidate]:
    """The candidates whose address was not asked before; adds theirs."""
    for candidate in candidates:
        if candidate.address not in addresses:
            addresses.add(candidate.address)
            yield candidate


def _fetch(fetcher: Fetcher, candidate: Candidate) -> Fetched:
    """Fetch one picture. Its content decides what it is, not what the server says of it."""
    from stages.formats.reading import open_header

    try:
        data = fetcher.picture(candidate.address)
        form = open_header(data, "", most=MEGAPIXELS * 1e6).format or ""
    except Refused as refused:
        return Fetched(candidate, refused=refused.reason, settled=refused.settled)
    except Reject as reject:
        return Fetched(candidate, refused=reject.reason)
    return Fetched(candidate, data, SUFFIXES.get(form, f".{form.lower()}"))


def _keep(folder: Path, fetched: Fetched, digests: set[str]) -> Source:
    """Write a picture under a name made of its title and content; returns its row."""
    candidate = fetched.candidate
    about = Source(
        file="",
        address=candidate.address,
        page=candidate.page,
        title=candidate.title,
        creator=candidate.creator,
        licence=candidate.licence,
        licence_address=candidate.licence_address,
        query=candidate.query,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        refused=fetched.refused,
    )
    if fetched.refused:
        return about
    digest = hashlib.sha256(fetched.data).hexdigest()
    if digest in digests:
        return about._replace(sha256=digest, refused="duplicate")
    digests.add(digest)
    name = f"{files.slug(candidate.title)}-{digest[:8]}{fetched.suffix}"
    files.write(folder / name, fetched.data)
    return about._replace(file=name, sha256=digest)
