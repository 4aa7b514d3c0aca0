"""How the files of a format begin: pictures that are opened, and formats that never are."""

from __future__ import annotations

NEVER_OPENED: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "EPS": (0, (b"%!PS", b"\xc5\xd0\xd3\xc6")),
    "PDF": (0, (b"%PDF",)),
    "SVG": (0, (b"<svg",)),
    "WMF": (0, (b"\xd7\xcd\xc6\x9a", b"\1\0\x09\0")),
    "EMF": (40, (b" EMF",)),
    "PSD": (0, (b"8BPS",)),
    "XCF": (0, (b"gimp xcf",)),
    "ICNS": (0, (b"icns",)),
    "cursor": (0, (b"\0\0\2\0",)),
    "JPEG XL": (0, (b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    "FLIF": (0, (b"FLIF",)),
    "BPG": (0, (b"BPG\xfb",)),
    "QOI": (0, (b"qoif",)),
    "Canon CR3": (4, (b"ftypcrx ",)),
    "OpenEXR": (0, (b"v/1\1",)),
    "Radiance HDR": (0, (b"#?RADIANCE",)),
    "FITS": (0, (b"SIMPLE  =",)),
    "DDS": (0, (b"DDS ",)),
    "BLP": (0, (b"BLP1", b"BLP2")),
    "FTEX": (0, (b"FTEX",)),
    "PAM": (0, (b"P7\n",)),
    "PFM": (0, (b"PF\n",)),
    "XPM": (0, (b"/* XPM */",)),
    "XBM": (0, (b"#define ",)),
    "SGI": (0, (b"\1\xda",)),
    "PCX": (0, (b"\x0a\5\1",)),
    "DCX": (0, (b"\xb1\x68\xde\x3a",)),
    "Sun raster": (0, (b"\x59\xa6\x6a\x95",)),
    "MSP": (0, (b"DanM", b"LinS")),
    "FLI": (4, (b"\x11\xaf", b"\x12\xaf")),
}
"""By format: the offset in bytes, and what stands there.

Sources: the formats' own specifications, as collected in the `file` utility's magic database.
"""
OPENED = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\1\0", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"),
)
BRANDS = (
    *(b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevm", b"hevx"),
    *(b"mif1", b"msf1"),
)
"""Brands of still pictures, which begin as MP4 films do."""
BEFORE_TEXT = b"\xef\xbb\xbf \t\r\n"  # byte order mark and white space
HEAD = 512  # bytes in which a text format names itself


def is_web_page(data: bytes) -> bool:
    """Whether these bytes are HTML, such as the error page of a server."""
    head = data[:HEAD].lstrip(BEFORE_TEXT).lower()
    return head.startswith((b"<!doctype html", b"<html"))


def never_opened(data: bytes) -> str | None:
    """The name of the format that is never opened; None for all other bytes."""
    head = data[:HEAD].lstrip(BEFORE_TEXT)
    for name, (offset, beginnings) in NEVER_OPENED.items():
        if data.startswith(beginnings, offset) or (not offset and head.startswith(beginnings)):
            return name
    return "SVG" if b"<svg" in head.lower() else None


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def is_opened(data: bytes) -> bool:
    """Whether these bytes begin as a picture that is opened."""
    if is_webp(data):
        return True
    if data[4:8] == b"ftyp":
        return data[8:12] in BRANDS
    return data.startswith(OPENED)
