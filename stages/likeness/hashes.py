"""What a picture is recognised by: a digest of its pixels and perceptual hashes of its crops."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from functools import cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from pipeline.pictures import halved
from pipeline.sample import Facts, Image

Hashes = NDArray[np.uint64]
"""…×4 words: 256 bits each."""

CROPS = 5  # concentric crops; each takes another 2.5% off every side
SQUARE = 160  # pixels; 2.5% of it is a whole number
SIDE, WAVES = 64, 16  # a crop in pixels, and the cosine waves across it that become bits
MARGIN = SQUARE // 40
FAINT = 0.05  # grey levels; the median wave of photographs is over 0.17, of gradients under 0.01
ROUNDING = 0.001  # grey levels; less is none, so that no machine's rounding decides a bit
ODD_COLUMNS = np.packbits(np.tile(np.arange(WAVES) % 2 == 1, WAVES)).view(np.uint64)


def recognition(image: Image) -> Facts:
    """The facts `content` and `hashes` of an H×W×3 uint8 RGB picture.

    `content` is a digest (XXH3, 128 bits, hex) that pictures of the same size and pixels share.
    `hashes` is base64 of what `hashes` gives; "" where the picture has too little in it.
    """
    content = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(image).data, seed=image.shape[1])
    found = hashes(image)
    text = "" if found is None else base64.b64encode(found.tobytes()).decode()
    return {"content": content, "hashes": text}


def hashes(image: Image) -> Hashes | None:
    """CROPS×4 uint64: a perceptual hash of the picture and of each crop.

    A bit tells whether one of the 16×16 lowest waves of the cosine transform of the grey picture
    at 64×64 pixels is positive (after pHash: Klinger and Starkweather, 2010). None where the waves
    are so faint that noise decides: a wall, a gradient.
    """
    square = _grey_square(image)
    waves = (_crop_waves() @ square @ _crop_waves().transpose(0, 2, 1)).reshape(CROPS, -1)
    if np.median(np.abs(waves[0])) < FAINT:
        return None
    return np.packbits(waves > ROUNDING, axis=1).view(np.uint64)


def mirrored(hashes: Hashes) -> Hashes:
    """The hashes of the mirrored pictures: odd waves across change their sign."""
    return hashes ^ ODD_COLUMNS


def unpacked(texts: Iterable[str]) -> Hashes:
    """N×CROPS×4 uint64 from the facts `hashes` of N pictures, none of them empty."""
    data = b"".join(map(base64.b64decode, texts))
    return np.frombuffer(data, np.uint64).reshape(-1, CROPS, WAVES * WAVES // 64)


def _grey_square(image: Image) -> NDArray[np.float32]:
    """The picture in grey at SQUARE×SQUARE pixels. A large one is first fitted to sides that can be
    halved to the last pixel, which keeps the mirrored picture's hash the mirrored hash.
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    times = max(1, min(grey.shape) // SQUARE).bit_length() - 1
    height, width = (side >> times << times for side in grey.shape)
    if grey.shape != (height, width):
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    grey = halved(np.asarray(grey, np.uint8), times)
    way = cv2.INTER_AREA if min(grey.shape) >= SQUARE else cv2.INTER_LINEAR
    small: Image = cv2.resize(grey, (SQUARE, SQUARE), interpolation=way)
    return small.astype(np.float32)


@cache
def _crop_waves() -> NDArray[np.float32]:
    """CROPS×WAVES×SQUARE: the cosine waves along a line of each crop, reduced to SIDE pixels."""
    import cv2

    places = np.arange(SIDE) + 0.5
    cosines = (2 / SIDE) * np.cos(np.pi / SIDE * np.outer(np.arange(WAVES), places))
    waves = np.zeros((CROPS, WAVES, SQUARE))
    for number in range(CROPS):
        inner = slice(MARGIN * number, SQUARE - MARGIN * number)
        line = np.eye(SQUARE)[inner, inner]
        reduced = cv2.resize(line, (len(line), SIDE), interpolation=cv2.INTER_AREA)
        waves[number, :, inner] = cosines @ reduced
    return waves.astype(np.float32)
