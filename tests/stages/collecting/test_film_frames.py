"""Frames of films: at their own times, with a face where asked, one group a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_files import put

from pipeline.__main__ import main
from pipeline.pictures import decode
from pipeline.sample import Image
from pipeline.sources import read
from stages.collecting.frames import every
from stages.demo.video import SCRIPT, write_video
from stages.video.frames import Frame


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's film: one person, an expression after the other."""
    path = tmp_path_factory.mktemp("film") / "Holiday film.mp4"
    write_video(path, 0)
    return path


def frames(home: Path, *words: object) -> int:
    where = ["--raw", home / "raw", "--processed", home / "processed"]
    return main(["frames", *map(str, [*words, *where])])


def black(time: float) -> Frame:
    image: Image = np.zeros((4, 4, 3), np.uint8)
    return Frame(time, image, 0.04)


def test_frames_are_taken_at_their_own_times_however_they_are_spaced() -> None:
    times = [0.0, 0.1, 0.5, 0.51, 0.9, 2.0, 2.1, 2.6]
    assert [still.time for still in every(map(black, times), 0.5)] == [0.0, 0.5, 2.0, 2.6]


def test_a_film_is_one_group_and_its_frames_carry_their_times(film: Path, tmp_path: Path) -> None:
    assert frames(tmp_path, "--video", film, "--label", "smile", "--every", 1) == 0
    sources = read(tmp_path / "raw/smile")
    assert len(sources) >= 4
    assert len({source.group for source in sources}) == 1
    assert sources[1].file.endswith("-00001.000.jpg")
    assert sources[1].title == "Holiday film.mp4 at 1.000 s"
    first = decode((tmp_path / "raw/smile" / sources[0].file).read_bytes())
    assert first.ndim == 3 and first.mean() > 20


def test_only_changed_faces_are_fewer_than_all(film: Path, tmp_path: Path) -> None:
    for label, *words in (("all", "--faces"), ("changed", "--changed")):
        assert frames(tmp_path, "--video", film, "--label", label, "--every", 0.1, *words) == 0
    every_face, changed = (len(read(tmp_path / "raw" / label)) for label in ("all", "changed"))
    assert len(SCRIPT) <= changed < every_face / 2


def test_a_second_run_adds_nothing(film: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert frames(tmp_path, "--video", film.parent, "--label", "smile", "--every", 2) == 0
    files = [path.name for path in (tmp_path / "raw/smile").glob("*.jpg")]
    assert sorted(files) == [source.file for source in read(tmp_path / "raw/smile")]


def test_a_film_never_lies_on_both_sides_of_the_split(film: Path, tmp_path: Path) -> None:
    other = put(tmp_path / "films/other.mp4", film.read_bytes())
    for path in (film, other):
        assert frames(tmp_path, "--video", path, "--label", "smile", "--every", 0.5) == 0
    where = ["--raw", tmp_path / "raw", "--processed", tmp_path / "processed", "--near", "group"]
    assert main(["dedupe", *map(str, where)]) == 0
    where[-2:] = ["--dedupe.near", "group"]
    words = [*where, "--region", "whole", "--workers", "0"]
    assert main(["split", *map(str, words)]) == 0
    sides = {path.parent.parent.name for path in (tmp_path / "processed/dataset").rglob("*.jpg")}
    assert sides <= {"train", "val"}
    for name in ("holiday-film", "other"):
        found = (tmp_path / "processed/dataset").rglob(f"{name}-*.jpg")
        assert len({path.parent.parent.name for path in found}) <= 1


def test_what_is_no_film_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = put(tmp_path / "broken.mp4", b"\0\0\0\x18ftypmp42" + bytes(99))
    assert frames(tmp_path, "--video", broken, "--label", "smile") == 1
    assert f"{broken} gives none (" in capsys.readouterr().out
    assert frames(tmp_path, "--video", tmp_path / "nowhere", "--label", "smile") == 2
