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

    version: ClassVar[int] = 6
    max_megapixels: float = 100.0
    """Larger pictures are dropped before they are decoded."""
    max_megabytes: float = 512.0
    """Larger files are dropped before they are read."""

    def __call__(self, sample: Sample) -> Sample:
        """The picture as upright H×W×3 uint8 sRGB; a JPEG that is so already keeps its bytes.

        Adds the facts `format`, `bytes`, `width`, `height` (pixels), `spread` (grey levels), those
        of likeness, and where they apply `frame`, `exif` and `icc`. Raises Reject: `unreadable`,
        and what reading raises.
        """
        from stages.formats import colour, reading
        from stages.likeness.hashes import recognition

        data = self._read(sample)
        picture = reading.open_header(data, Path(sample.key).suffix, self.max_megapixels * 1e6)
        plain = picture.format == "JPEG" and picture.mode == "RGB" and colour.is_srgb(picture)
        if plain and (turn := reading.orientation(picture)) in (1, None):
            whole, pixels = reading.whole_jpeg(picture, data)
            if pixels is not None:
                facts = _facts(picture, turn, data) | _measure(pixels) | recognition(pixels)
                return sample.with_bytes(whole, pixels, **facts)
        loaded = reading.load(picture, data)
        turn = reading.orientation(picture)
        facts = _facts(picture, turn, data)
        pixels, noted = _first_with_content(loaded)
        del picture, loaded  # make room: a hundred megapixels are 400 MB in there
        pixels = colour.upright(pixels, turn)
        facts |= noted | _measure(pixels) | recognition(pixels)
        return sample.with_image(pixels, **facts)

    def _read(self, sample: Sample) -> bytes:
        given = sample.encoded
        try:
            size = sample.file.stat().st_size if given is None else len(given)
            if size > self.max_megabytes * 1e6:
                raise Reject("too_large", megabytes=round(size / 1e6, 1))
            return sample.file.read_bytes() if given is None else given
        except PermissionError:
            raise Reject("unreadable") from None


def _first_with_content(loaded: Picture) -> tuple[Image, dict[str, Any]]:
    """H×W×3 uint8 sRGB and facts: of an animation's first frame that is not of one colour."""
    from stages.formats import colour, frames

    pixels, noted = colour.to_rgb(loaded)
    if frames.is_animated(loaded) and frames.is_empty(pixels):
        for index, frame in frames.later_frames(loaded):
            later, noted_later = colour.to_rgb(frame)
            if not frames.is_empty(later):
                return later, {**noted_later, "frame": index}
    return pixels, noted


def _facts(picture: Picture, turn: int | None, data: bytes) -> dict[str, Any]:
    """What is known of the file: format, size in bytes, page, whether its EXIF can be used."""
    facts: dict[str, Any] = {"format": picture.format, "bytes": len(data)}
    if picture.format == "TIFF" and picture.tell():
        facts["frame"] = picture.tell()
    if turn is None:
        facts["exif"] = "unusable"
    return facts


def _measure(pixels: Image) -> dict[str, float]:
    """Size in pixels, and the standard deviation of the grey values of H×W×3 uint8 pixels."""
    height, width = pixels.shape[:2]
    step = max(1, min(height, width) // 64)
    red, green, blue = np.moveaxis(pixels[::step, ::step].astype(np.float32), 2, 0)
    spread = float((red + green + blue).std(dtype=np.float64)) / 3
    return {"width": width, "height": height, "spread": round(spread, 2)}
