"""Which page of a TIFF, and which frame of an animation, is the picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image as Pillow

from pipeline.sample import Image
from stages.formats.damage import COMPLAINTS

ANIMATED = ("AVIF", "GIF", "PNG", "WEBP")
PAGES, FRAMES = 64, 100  # that are looked at: a file may name any number
PIXELS = 300e6  # of all frames that are looked at
FLAT = 8  # grey levels: an empty frame differs by no more, however it is compressed
SUBFILE_TYPE, REDUCED, MASK = 254, 1, 4  # TIFF tag, its bits for a thumbnail and for a mask
SUBFILES = 330  # TIFF tag: where pictures lie that are no pages


def largest_page(picture: Pillow.Image) -> int:
    """Index of the page with the most pixels, the first of these: some begin with a thumbnail.

    `picture` is an open TIFF, which is left at another page.
    """
    sizes: list[int] = []
    for page in range(PAGES):
        try:
            picture.seek(page)
        except COMPLAINTS:  # past the last page, or a damaged one
            break
        is_mask = getattr(picture, "tag_v2", {}).get(SUBFILE_TYPE, 0) & MASK
        sizes.append(0 if is_mask else picture.width * picture.height)
    return sizes.index(max(sizes)) if sizes else 0


def is_thumbnail_of_raw(picture: Pillow.Image) -> bool:
    """Whether the picture lies where no decoder reads it, as the sensor's data of cameras do.

    `picture` is an open TIFF at its largest page.
    """
    tags = getattr(picture, "tag_v2", {})
    return bool(tags.get(SUBFILE_TYPE, 0) & REDUCED) and SUBFILES in tags


def is_animated(loaded: Pillow.Image) -> bool:
    return loaded.format in ANIMATED and getattr(loaded, "is_animated", False)


def later_frames(loaded: Pillow.Image) -> Iterator[tuple[int, Pillow.Image]]:
    """Index and picture of the frames of an animation after the first, each decoded.

    They end before the first damaged one.
    """
    for index in range(1, min(FRAMES, int(PIXELS / (loaded.width * loaded.height)))):
        try:
            loaded.seek(index)
            loaded.load()
        except COMPLAINTS:
            return
        yield index, loaded


def is_empty(pixels: Image) -> bool:
    """Whether H×W×3 uint8 pixels are all of one colour."""
    return bool(np.ptp(pixels, axis=(0, 1)).max() <= FLAT)
