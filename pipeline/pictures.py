"""Pictures in memory, and the JPEGs they come from and go to.

(Whether a file of the user's is a JPEG at all, the stage `normalize` says.)
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipeline.store import Place

Image = NDArray[np.uint8]
"""H×W×3 uint8 RGB."""

STRAY_BYTES = re.compile(r"data: [12] extraneous bytes before marker 0xd9")  # of some cameras
QUALITY = 95  # with full chroma (4:4:4): lips are small and red against skin


class Picture:
    """A picture as a JPEG file, the bytes of one, or pixels; decoded once, at the first use."""

    def __init__(self, source: Place | bytes | Image) -> None:
        self._source = source

    @cached_property
    def pixels(self) -> Image:
        """H×W×3 uint8 RGB.

        Raises ValueError where the bytes are no JPEG, OSError where they cannot be read.
        """
        source = self._source
        if isinstance(source, np.ndarray):
            return source
        return decode(source if isinstance(source, bytes) else source.read_bytes())


def decode(data: bytes, space: str = "RGB") -> Image:
    """Bytes of a JPEG to H×W×3 uint8 RGB (×1 of space GRAY, ×4 of CMYK), without EXIF rotation.

    Raises ValueError where a block of it does not decode. Pillow and OpenCV say nothing of
    damaged data, and OpenCV hands out what it has even where it cannot go on.
    """
    import simplejpeg

    try:
        return cast(Image, simplejpeg.decode_jpeg(data, space))
    except ValueError as error:
        if not STRAY_BYTES.search(str(error)):
            raise
        return cast(Image, simplejpeg.decode_jpeg(data, space, strict=False))


def halved(image: Image, times: int) -> Image:
    """A picture, grey or RGB, halved by area; 2 ** times pixels along a side become one.

    Rows below and columns on the right that do not fill a pixel are left out. Halving takes a
    twelfth of the time that OpenCV takes to reduce by area to any size.
    """
    import cv2

    height, width = (side >> times << times for side in image.shape[:2])
    image = image[:height, :width]
    for _ in range(times):
        size = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def encode(image: Image, quality: int = QUALITY) -> bytes:
    """H×W×3 uint8 RGB to the bytes of a JPEG with full chroma (4:4:4); the same every time.

    Raises ValueError where the picture is empty or too large for a JPEG.
    """
    import cv2

    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"cannot encode a picture of shape {image.shape}")
    return bytes(data)


def encode_png(image: Image) -> bytes:
    """H×W×3 uint8 RGB to the bytes of a PNG."""
    import cv2

    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"cannot encode a picture of shape {image.shape}")
    return bytes(data)
