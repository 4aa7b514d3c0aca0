"""Pictures that are read by several threads at once, as the server does."""

from __future__ import annotations

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image as Pillow
from small_files import PICTURE, put, saved, with_exif

from pipeline.sample import Facts, Sample
from stages.formats.quiet import warnings_of_this_thread
from stages.normalize import Normalize

LOST_TAGS = 100


def tiff_with_lost_tags() -> bytes:
    """A TIFF whose last tags point past its end. Pillow warns of each and decodes the picture."""
    data = bytearray(saved(PICTURE, "TIFF"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = data[start + 2 : start + 2 + 12 * count]
    for tag in range(60_000, 60_000 + LOST_TAGS):
        entries += struct.pack("<HHII", tag, 1, 1000, 0x7FFFFFFF)
    struct.pack_into("<I", data, 4, len(data))
    return bytes(data + struct.pack("<H", count + LOST_TAGS) + entries + bytes(4))


def test_several_threads_read_as_one_does(tmp_path: Path) -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6
    pictures = {
        "tags.tif": tiff_with_lost_tags(),
        "turned.jpg": saved(PICTURE, "JPEG", exif=turned),
        "bad.jpg": with_exif(saved(PICTURE, "JPEG"), b"II*\0\xff\xff\xff\x7f"),
    }
    files = [put(tmp_path / name, data) for name, data in pictures.items()]

    def facts(file: Path) -> Facts:
        return Normalize()(Sample(file.name, "smile", file)).facts

    alone = [facts(file) for file in files]
    filters = list(warnings.filters)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(facts, files * 40)) == alone * 40
    assert warnings.filters == filters


def test_a_file_that_python_closes_meanwhile_is_no_complaint_of_the_decoder(tmp_path: Path) -> None:
    put(tmp_path / "open")
    with warnings_of_this_thread() as found:
        open(tmp_path / "open")  # noqa: SIM115
        warnings.warn("odd", stacklevel=1)
    assert found == ["odd"]
