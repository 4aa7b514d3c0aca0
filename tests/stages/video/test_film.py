"""Video files: each frame has its own time, is upright, and a whole film is never cut short."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_films import UNEVEN, grey, write_film, write_song

from pipeline.sample import Reject
from stages.formats.containers import ends_early, is_video
from stages.video.film import Film

KINDS = [
    ("mp4", "mpeg4", {}),
    ("matroska", "mpeg4", {}),
    ("webm", "libvpx", {}),
    ("webm", "libvpx", {"live": "1"}),  # as browsers record: no length, no number of frames
    ("mpegts", "libx264", {}),
    ("mpegts", "libx264", {"mpegts_m2ts_mode": "1"}),  # as camcorders record
]
EVEN = tuple(number / 25 for number in range(8))
FAST = {"movflags": "faststart"}  # the index lies before the frames


@pytest.mark.parametrize(("kind", "codec", "options"), KINDS)
def test_each_frame_has_its_own_time_whatever_the_container_and_the_name(
    tmp_path: Path, kind: str, codec: str, options: dict[str, str]
) -> None:
    path = write_film(tmp_path / "film.dat", UNEVEN, kind, codec, options=options)
    assert is_video(path)
    film = Film(path)
    frames = list(film)
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=0.0015)
    assert not film.ends_early
    brightness = [frame.image[24, 48].mean() for frame in frames]
    assert brightness == pytest.approx([20 + 20 * number for number in range(7)], abs=8)


def test_times_that_fall_back_go_on_from_the_last_frame(tmp_path: Path) -> None:
    """Two recordings in one file, as a camcorder or `cat` joins them."""
    once = write_film(tmp_path / "a.ts", EVEN, "mpegts", "libx264").read_bytes()
    (tmp_path / "b.ts").write_bytes(once + once)
    times = [frame.time for frame in Film(tmp_path / "b.ts")]
    assert len(times) > len(EVEN) and (np.diff(times) > 0).all()
    assert times[-1] < 2 * EVEN[-1] + 0.2


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_film_is_turned_upright(tmp_path: Path, turn: int) -> None:
    path = write_film(tmp_path / "film.mp4", EVEN, turn=turn)
    image = next(iter(Film(path))).image
    expected = np.rot90(grey(0), turn // 90)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_a_film_whose_sound_lasts_longer_is_whole(tmp_path: Path, kind: str) -> None:
    film = Film(write_film(tmp_path / "film", EVEN, kind, sound=4))
    assert len(list(film)) == len(EVEN) and not film.ends_early


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("mp4", "mpeg4", FAST),
        ("matroska", "mpeg4", {}),
        ("webm", "libvpx", {"live": "1"}),
        ("avi", "mjpeg", {}),
    ],
)
def test_a_film_that_was_cut_ends_early(
    tmp_path: Path, kind: str, codec: str, options: dict[str, str]
) -> None:
    path = tmp_path / "film"
    write_film(path, tuple(number / 25 for number in range(60)), kind, codec, options=options)
    whole = path.read_bytes()
    assert not ends_early(path)
    path.write_bytes(whole[: len(whole) * 6 // 10])
    film = Film(path)
    count = len(list(film))
    assert 10 < count < 50 and film.decoded == count
    assert film.ends_early


def test_a_film_that_lost_only_its_index_has_all_its_frames(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.avi", EVEN, "avi", "mjpeg")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"idx1") + 20])
    film = Film(path)
    assert len(list(film)) == len(EVEN) and not film.ends_early


def test_damaged_frames_are_left_out_and_the_others_keep_their_times(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.avi", EVEN, "avi", "mjpeg")
    data = bytearray(path.read_bytes())
    frames = [match.start() for match in re.finditer(b"00dc", data)]
    third = [at for at in frames if at > data.index(b"movi")][2]
    size = int.from_bytes(data[third + 4 : third + 8], "little")
    data[third + 8 : third + 8 + size] = bytes(size)
    path.write_bytes(data)
    times = [frame.time for frame in Film(path)]
    assert times == pytest.approx([*EVEN[:2], *EVEN[3:]])


def test_a_song_is_no_film_even_with_a_cover(tmp_path: Path) -> None:
    with pytest.raises(Reject, match="not_an_image"):
        Film(write_song(tmp_path / "song.m4a"))


def test_frames_larger_than_the_limit_are_not_decoded(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", EVEN)
    with pytest.raises(Reject, match="too_large"):
        Film(path, max_megapixels=0.003)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile film.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfilm.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_other_files_is_never_opened(tmp_path: Path, text: str) -> None:
    write_film(tmp_path / "film.mp4", EVEN)
    (tmp_path / "list.mp4").write_text(text)
    assert not is_video(tmp_path / "list.mp4")
    with pytest.raises(Reject, match="corrupt"):
        Film(tmp_path / "list.mp4")


@pytest.mark.parametrize(
    ("kind", "codec"), [("mp4", "libx264"), ("matroska", "mpeg4"), ("avi", "mjpeg")]
)
@given(st.lists(st.tuples(st.integers(12, 10_000), st.integers(0, 255)), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_damaged_bytes_are_a_verdict_and_times_still_rise(
    tmp_path: Path, kind: str, codec: str, changes: list[tuple[int, int]]
) -> None:
    path = tmp_path / "film"
    data = bytearray(write_film(path, EVEN, kind, codec).read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data)
    with suppress(Reject):
        film = Film(path)
        times = [frame.time for frame in film]
        assert times == sorted(times) and film.ends_early in (True, False)


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="needs ../shared/cases, small films")
@pytest.mark.parametrize(
    ("name", "count", "last"),
    [
        ("vfr/phone_tiny.mp4", 27, 1.6),
        ("vfr/browser_recorded_tiny.webm", 27, 1.6),
        ("vfr/long_audio_tiny.mkv", 6, 0.535),
        ("m2ts/tiny.MTS", 3, 0.2),
    ],
)
def test_films_of_other_programs_have_their_own_times(name: str, count: int, last: float) -> None:
    film = Film(SHARED / "cases" / name)
    times = [frame.time for frame in film]
    assert len(times) == count and times[-1] == pytest.approx(last, abs=1e-6)
    assert is_video(film.path) and not film.ends_early
