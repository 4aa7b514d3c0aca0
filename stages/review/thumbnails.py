"""Small pictures for the review page, made once and kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

SIDE = 144  # pixels of the longer side
MOST = 20_000  # thumbnails kept: about 100 MB


class Thumbnails:
    """JPEGs of at most 144×144 by file; safe to call from several threads."""

    def __init__(self) -> None:
        self._made: OrderedDict[Path, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, file: Path) -> bytes | None:
        """The bytes, None where the file is no JPEG that can be read."""
        with self._lock:
            if file in self._made:
                self._made.move_to_end(file)
                return self._made[file]
        data = _make(file)
        if data is not None:
            with self._lock:
                self._made[file] = data
                if len(self._made) > MOST:
                    self._made.popitem(last=False)
        return data


def _make(file: Path) -> bytes | None:
    from pipeline.pictures import decode
    from stages.report.thumbnails import small_jpeg

    try:
        return small_jpeg(decode(file.read_bytes()), SIDE)
    except (OSError, ValueError):
        return None
