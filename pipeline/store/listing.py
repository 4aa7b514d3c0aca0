"""What lies in a raw folder in a store."""

from __future__ import annotations

from pipeline import leftovers, sources
from pipeline.labels import label_of
from pipeline.listing import Listing, printable, regular_file
from pipeline.sample import Facts
from pipeline.store import Address


def find_in_store(root: Address) -> Listing:
    """As `find` of pipeline/raw.py; there are no links. Programs mark an empty folder by an empty
    file of its name.

    The stamp is size and etag, which differs when the content does.
    """
    listing = Listing(root)
    entries = sorted(root.entries(), key=lambda entry: entry.name.split("/"))
    tables = {
        folder: sources.facts(root / folder)
        for entry in entries
        if (folder := entry.name.removesuffix(f"/{sources.NAME}")) != entry.name
    }
    for entry in entries:
        key = "/".join(map(printable, entry.name.split("/")))
        folder, _, name = entry.name.rpartition("/")
        left_out = leftovers.leftover_in(entry.name)
        if left_out:
            listing.leftovers[left_out] += 1
        elif not entry.size and "." not in name:
            listing.label_folders.add(label_of(f"{key}/"))
        elif name != sources.NAME:
            listing.label_folders.add(label_of(key))
            stamp = f"{entry.size}:{entry.etag}"
            facts = tables.get(folder, {}).get(name, Facts())
            listing.files.append(regular_file(key, str(root / entry.name), stamp, facts))
    listing.label_folders.discard("")
    return listing
