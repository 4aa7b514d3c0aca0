"""Pictures of 16 bits a channel whose values need fewer: a camera's 12 would come out black."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from stages.formats import memory

DEPTHS = (8, 10, 12, 14, 16)  # bits that sensors and converters deliver
ROWS = 256  # scaled at a time


def white(highest: float) -> float:
    """The value that becomes white: the largest of the smallest depth that holds `highest`."""
    return next((2.0**bits - 1 for bits in DEPTHS if highest < 2**bits), 65535.0)


def is_16_bit_colour(picture: Pillow.Image) -> bool:
    """Whether an open PNG, TIFF or PPM, not yet decoded, has 16 bits a channel and colour.

    Pillow takes the upper eight of them.
    """
    tiles = [str(tile.args) for tile in getattr(picture, "tile", ())]
    deep = any(";16" in tile or tile.endswith(", 65535)") for tile in tiles)
    return deep and picture.mode in ("RGB", "RGBA", "LA")


def brightened(loaded: Pillow.Image, data: bytes) -> Pillow.Image:
    """The picture decoded from all 16 bits, where it needs 14 or fewer; else the given one.

    `loaded` is the RGB, RGBA or LA picture of the upper eight bits, `data` its file. Raises Reject
    (`too_large`) and MemoryError as memory.py says.
    """
    upper = loaded.convert("RGB").getextrema()
    if np.max(upper) > 64:  # 14 bits, rounded
        return loaded
    memory.check(memory.SIXTEEN_BITS, loaded.width * loaded.height)
    values = _sixteen_bits(data)
    channels = 3 if loaded.mode == "RGB" else 4
    if values is None or values.shape != (loaded.height, loaded.width, channels):
        return loaded
    highest = values.max(axis=(0, 1))
    tops = [white(float(highest[:3].max()))] * 3 + [white(float(level)) for level in highest[3:]]
    scaled = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), ROWS):
        strip = values[row : row + ROWS, :, [2, 1, 0, 3][: values.shape[2]]]
        scaled[row : row + ROWS] = np.rint(strip * (255.0 / np.array(tops)))
    picture = Pillow.fromarray(scaled)
    picture.info.update(loaded.info)
    return picture


def _sixteen_bits(data: bytes) -> NDArray[np.uint16] | None:
    """H×W×3 BGR or H×W×4 BGRA of all 16 bits; None where OpenCV does not decode it so."""
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        values: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if memory.lacked(error):
            raise MemoryError(str(error)) from error
        return None
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        return None
    return cast(NDArray[np.uint16], values)
