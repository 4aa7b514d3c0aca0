"""The comparison of the face filters counts crops by verdict, by points and by group."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.pictures import encode
from stages.demo.portrait import portrait

BENCH = Path(__file__).parent.parent.parent.parent / "bench"


def test_the_tables_say_who_is_found_and_who_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, points = portrait()
    turn = cv2.getRotationMatrix2D((223.5, 114.5), 20, 1)
    tilted = cv2.warpAffine(image, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    pictures = {
        "upright.jpg": image,
        "tilted.jpg": tilted,
        "wall.jpg": np.full((300, 300, 3), 99, np.uint8),
    }
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, picture in pictures.items():
        (folder / name).write_bytes(encode(np.asarray(picture, np.uint8)))
    verdicts, groups, marks = (tmp_path / name for name in ("v.csv", "g.csv", "p.csv"))
    verdicts.write_text("file,verdict\nupright.jpg,mouth\ntilted.jpg,mouth\nwall.jpg,none\n")
    groups.write_text("file,pose\nupright.jpg,straight\ntilted.jpg,tilted\n")
    turned = points @ turn[:, :2].T + turn[:, 2]
    lines = [
        f'{name},"{",".join(str(value) for value in marked.ravel())}"'
        for name, marked in (("upright.jpg", points), ("tilted.jpg", turned))
    ]
    marks.write_text("\n".join(['file,"points (68 times x, y)"', *lines]))
    words = ["faces.py", str(folder), "--verdicts", str(verdicts), "--by", str(groups)]
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(sys, "argv", [*words, "--points", str(marks), "--detectors"])
    bench, threads = importlib.import_module("faces"), cv2.getNumThreads()
    bench.main()
    cv2.setNumThreads(threads)
    printed = capsys.readouterr().out
    assert "| Haar alone | 3 | 1 | 0 | 1 |" in printed
    assert "| second look | 3 | 2 | 1 | 2 |" in printed
    assert "| second look | 2 of 2 (100.0%) | 1 of 1 (100.0%) | 0 of 1 (0.0%) |" in printed
    assert "| second look | 2 | 2 | 0 |" in printed
    assert "| pose: tilted | 1 | 0 of 1 (0.0%) | 1 of 1 (100.0%) |" in printed
    assert "| to 800 px | 2 |" in printed
