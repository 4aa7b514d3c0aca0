"""A picture that no worker has the memory for is refused before it is decoded."""

from __future__ import annotations

import multiprocessing
import resource
import struct
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from small_files import PICTURE, normalize, saved

from pipeline.sample import Facts, Reject


def webp(width: int, height: int) -> bytes:
    """A header that declares so many pixels, and hardly any data."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg_2000(width: int, height: int) -> bytes:
    data = bytearray(saved(PICTURE, "JPEG2000"))
    struct.pack_into(">II", data, data.index(b"ihdr") + 4, height, width)
    return bytes(data)


def verdict(folder: Path, data: bytes, gigabytes: float) -> tuple[str, Facts]:
    """Reason and measurement; the process keeps the limit."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9), resource.RLIM_INFINITY))
    try:
        normalize(folder, data)
    except Reject as reject:
        return reject.reason, reject.measured
    return "", {}


@pytest.mark.parametrize(
    ("data", "needed"),
    [(webp(16_000, 6_000), 1.69), (jpeg_2000(9_000, 9_000), 1.63)],
    ids=["WebP", "JPEG 2000"],
)
def test_more_memory_than_a_worker_may_have_is_too_large(
    data: bytes, needed: float, tmp_path: Path
) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        reason, measured = process.submit(verdict, tmp_path, data, 1.5).result()
    assert (reason, measured) == ("too_large", {"memory_gigabytes": needed})


def test_with_more_memory_the_same_file_is_judged_by_its_data(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        reason, _ = process.submit(verdict, tmp_path, jpeg_2000(9_000, 9_000), 4).result()
    assert reason in ("corrupt", "truncated")
