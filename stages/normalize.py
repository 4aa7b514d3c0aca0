"""Every readable picture becomes an upright, three-channel, 8-bit sRGB JPEG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipeline.sample import Image, Reject, Sample

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True)
class Normalize:
    """Make every readable picture an upright three-channel JPEG; drop what is broken."""

    version: ClassVar[int] = 4
    max_megapixels: float = 100.0
    """Larger pictures are dropped before they are decoded."""
    max_megabytes: float = 512.0
    """Larger files are dropped before they are read."""

    def __call__(self, sample: Sample) -> Sample:
        """Read, decode to the last row, turn upright; a JPEG that is so already keeps its bytes."""
        from stages.formats import colour, memory, reading
        from stages.likeness.hashes import recognition

        data = self._read(sample)
        picture = reading.open_header(data, Path(sample.key).suffix, self.max_megapixels * 1e6)
        if (declared := memory.pixels(picture)) > self.max_megapixels * 1e6:
            raise Reject("too_large", megapixels=round(declared / 1e6, 1))
        plain = picture.format == "JPEG" and picture.mode == "RGB" and colour.is_srgb(picture)
        if plain and (turn := reading.orientation(picture)) in (1, None):
            whole, pixels = reading.whole_jpeg(picture, data)
            if pixels is not None:
                facts = _facts(picture, turn, data) | _measure(pixels) | recognition(pixels)
                return sample.with_bytes(whole, pixels, **facts)
        loaded = reading.load(picture, data)
        turn = reading.orientation(picture)
        facts = _facts(picture, turn, data)
        pixels, noted = colour.to_rgb(loaded)
        del picture, loaded  # make room: a hundred megapixels are 400 MB in there
        pixels = colour.upright(pixels, turn)
        return sample.with_image(
            pixels, **facts, **noted, **_measure(pixels), **recognition(pixels)
        )

    def _read(self, sample: Sample) -> bytes:
        given = sample.encoded
        try:
            size = sample.file.stat().st_size if given is None else len(given)
            if size > self.max_megabytes * 1e6:
                raise Reject("too_large", megabytes=round(size / 1e6, 1))
            return sample.file.read_bytes() if given is None else given
        except PermissionError:
            raise Reject("unreadable") from None


def _facts(picture: Picture, turn: int | None, data: bytes) -> dict[str, Any]:
    """What is known of the file: format, size in bytes, whether its EXIF data can be used."""
    known = {"format": picture.format, "bytes": len(data)}
    return known | ({"exif": "unusable"} if turn is None else {})


def _measure(pixels: Image) -> dict[str, float]:
    """What `screen` judges by: size in pixels, and how far the grey values of it spread."""
    height, width = pixels.shape[:2]
    step = max(1, min(height, width) // 64)
    red, green, blue = np.moveaxis(pixels[::step, ::step].astype(np.float32), 2, 0)
    spread = float((red + green + blue).std(dtype=np.float64)) / 3
    return {"width": width, "height": height, "spread": round(spread, 2)}
