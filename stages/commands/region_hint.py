"""Where nearly all pictures are lost because they are crops already: the way out."""

from __future__ import annotations

from statistics import median

from pipeline.ledger import Ledger
from pipeline.store import Place

NEARLY_ALL = 0.9  # of the pictures
SMALL = 128  # pixels: people's data sets of crops have up to this, photographs have more


def region_hint(ledger: Ledger, processed: Place) -> str:
    """A sentence that points to `--region whole`; "" where pictures are no small crops.

    It is for regions lips and face: in most of the pictures, which are small, no face or a mouth
    too small was found.
    """
    found, no_face, _ = ledger.counts("faces")
    _, no_mouth, _ = ledger.counts("lips")
    lost = no_face.get("no_face", 0) + no_mouth.get("mouth_too_small", 0)
    count = found + sum(no_face.values())
    if not count or lost < NEARLY_ALL * count:
        return ""
    samples = ledger.samples("screen", processed)
    side = median(min(sample.facts["width"], sample.facts["height"]) for sample in samples)
    if side > SMALL:
        return ""
    return (
        f"in {lost:,} of {count:,} pictures no face or a mouth too small was found, and most are "
        f"{side:.0f} pixels or smaller: if they are crops already, give --region whole"
    )
