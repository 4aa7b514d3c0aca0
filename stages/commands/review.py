"""The command that serves the page to go through pictures by hand."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pipeline import decisions
from pipeline.decisions import ByHand
from pipeline.store import require_local
from pipeline.trouble import Trouble, Usage
from stages.commands.serve import listen

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Review:
    """Go through kept and rejected pictures with the keyboard, on a page of this machine."""

    port: int = 0
    """Port to listen at; 0 takes any free one."""
    open: bool = False
    """Open the page in the browser."""
    suspects: bool = False
    """Show the pictures first whose labels the last `report` found unlikely."""
    export: Path | None = None
    """Write the decisions to this CSV file in place of the page."""
    import_: Annotated[Path | None, tyro.conf.arg(name="import")] = None
    """Take decisions over from such a file; a row without a digest is found by its key."""

    def run(self, context: Context) -> int:
        processed = require_local(context.processed, "review")
        if not context.ledger.counts(context.steps[0].name)[0]:
            raise Trouble(f"{processed} holds no pictures yet: run `make split` first")
        own = processed / decisions.NAME
        if self.export is not None:
            kept = decisions.read(own)
            decisions.write(self.export, kept.values())
            print(f"review: {len(kept):,} decisions in {self.export}")
        elif self.import_ is not None:
            taken = _with_digests(decisions.read(self.import_, by_key=True).values(), context)
            decisions.append(own, taken)
            print(f"review: {len(taken):,} decisions taken over; `make split` applies them")
        else:
            self._serve(context, processed)
        return 0

    def _serve(self, context: Context, processed: Path) -> None:
        """Answer until Ctrl-C."""
        from stages.review.catalogue import Catalogue
        from stages.review.web import new_token, server

        catalogue = Catalogue(context.ledger, context.steps, processed)
        token = new_token()
        with listen("127.0.0.1", self.port) as listener:
            port = listener.getsockname()[1]
            order = "&order=suspicion" if self.suspects else ""
            address = f"http://127.0.0.1:{port}/?token={token}{order}"
            print(f"review: {len(catalogue.items):,} pictures at {address} (Ctrl-C ends it)")
            print(
                "review: decisions are kept as you make them; `make split` applies them", flush=True
            )
            if self.open:
                webbrowser.open(address)
            with suppress(KeyboardInterrupt):
                server(catalogue, token, port).run(sockets=[listener])
        print("review: ended")


def _with_digests(given: Iterable[ByHand], context: Context) -> list[ByHand]:
    """Decisions with the digest of their key where they have none. Raises Usage for a key that
    is unknown.
    """
    first = context.steps[0].name
    contents = {
        sample.key: sample.facts["content"]
        for sample in context.ledger.samples(first, context.processed)
    }
    found = []
    for decision in given:
        digest = decision.digest or contents.get(decision.key, "")
        if not digest:
            raise Usage(f"{decision.key}: no picture of this name was found in {first}")
        found.append(decision._replace(digest=digest))
    return found
