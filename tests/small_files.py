"""Small picture files of every format, and spoilt ones."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from pipeline.sample import Image, Reject, Sample
from stages.normalize import Normalize

ROWS, COLUMNS = np.mgrid[0:96, 0:128]
RGB: Image = np.dstack([COLUMNS * 2, ROWS * 2, 255 - ROWS - COLUMNS]).astype(np.uint8)
PICTURE = Pillow.fromarray(RGB)
NOISE = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8))


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def saved(picture: Pillow.Image, form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    picture.copy().save(target, form, **options)  # Pillow notes on a picture how it was encoded
    return target.getvalue()


def normalize(folder: Path, data: bytes, name: str = "one.jpg", **settings: float) -> Sample:
    file = folder / name
    file.write_bytes(data)
    return Normalize(**settings)(Sample(f"smile/{name}", "smile", file))


def reason(folder: Path, data: bytes, name: str = "one.jpg", **settings: float) -> str:
    with pytest.raises(Reject) as caught:
        normalize(folder, data, name, **settings)
    return caught.value.reason


def with_exif(data: bytes, exif: bytes) -> bytes:
    segment = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def png_chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
