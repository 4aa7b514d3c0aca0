"""Videos: faces are followed, labels smoothed, damage reported, copies drawn."""

from __future__ import annotations

import csv
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from small_faces import expression, model, predict, video
from small_films import UNEVEN, write_film

from pipeline.pictures import encode
from pipeline.sample import Facts, Image, Reject
from stages.demo.video import RATE
from stages.face.crop import overlap
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize
from stages.predict.chain import Chain, Crop
from stages.predict.predictor import Predictor
from stages.video.film import Film
from stages.video.frames import Ahead, Frame
from stages.video.tracking import GIVE_UP, Smooth, Tracker

LIPS = Chain(Normalize(), Faces(), Lips())


def write(path: Path, images: list[Image], code: str = "mp4v", rate: float = 12.5) -> Path:
    height, width = images[0].shape[:2]
    kind = cv2.VideoWriter.fourcc(*code)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, kind, rate, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def moved(right: int, label: str = "smile") -> Image:
    """320×240 pixels, the portrait's head so far to the right."""
    wall = np.full((240, 520, 3), 170, np.uint8)
    wall[:, 100 + right : 350 + right] = expression(label)[10:250, 100:350]
    return np.ascontiguousarray(wall[:, 50:370])


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("predicted")
    predict(output, "--input", video())
    return output


def table(output: Path) -> list[dict[str, str]]:
    with open(output / "predictions.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_label_of_each_second_is_right(predicted: Path) -> None:
    with open(video().with_suffix(".csv"), encoding="utf-8", newline="") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    rows = table(predicted)
    assert [int(row["frame"]) for row in rows] == list(range(RATE * len(truth)))
    assert [float(row["time"]) for row in rows] == pytest.approx(
        [frame / RATE for frame in range(len(rows))], abs=1e-3
    )
    for second, label in enumerate(truth):
        settled = rows[second * RATE + RATE // 3 : (second + 1) * RATE]
        assert Counter(row["label"] for row in settled).most_common(1)[0][0] == label
        assert sum(row["label"] == label for row in settled) >= 0.9 * len(settled)
    gone = [row for row in rows if row["reason"] == "no_face"]
    assert gone and all(row["p_smile"] == row["x"] == "" for row in gone)


def test_the_annotated_video_is_of_the_same_size_rate_and_length(predicted: Path) -> None:
    (drawn,) = predicted.glob("*.mp4")
    before, after = Film(video()), Film(drawn)
    assert (after.rate, after.frames) == (before.rate, before.frames)
    pairs = list(zip(before, after, strict=True))
    assert len(pairs) == before.frames
    assert {frame.image.shape for pair in pairs for frame in pair} == {(480, 640, 3)}
    green = [
        (np.abs(frame.image.astype(int) - (0, 230, 118)).sum(2) < 90).sum() for _, frame in pairs
    ]
    labelled = [bool(row["label"]) for row in table(predicted)]
    assert min(count for count, there in zip(green, labelled, strict=True) if there) > 500


def test_the_copy_has_the_size_of_the_film(tmp_path: Path) -> None:
    images = [np.full((48, 66, 3), 60 * number, np.uint8) for number in range(4)]
    predict(tmp_path / "out", "--input", write(tmp_path / "small.avi", images, "FFV1"))
    (drawn,) = (tmp_path / "out").glob("small*")
    assert next(iter(Film(drawn))).image.shape == (48, 66, 3)


def test_a_video_among_pictures_a_damaged_one_and_one_that_ends_early(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "b.avi", [moved(0)] * 12, "MJPG")
    whole = (folder / "b.avi").read_bytes()
    (folder / "c cut.avi").write_bytes(whole[: len(whole) // 2])
    (folder / "d no index.mp4").write_bytes(video().read_bytes()[:40_000])
    (folder / "e noise.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(range(256)) * 40)
    (folder / "a.jpg").write_bytes(encode(expression("smile")))
    rows = predict(tmp_path / "out", "--input", folder)
    by_file: dict[str, list[str]] = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row["label"] or row["reason"])
    assert by_file.pop("c cut.avi")[-1] == "truncated"
    assert by_file == {
        "a.jpg": ["smile"],
        "b.avi": ["smile"] * 12,
        "d no index.mp4": ["corrupt"],
        "e noise.mkv": ["corrupt"],
    }
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "out").glob("*-*"))
    assert names == ["a", "b", "c-cut"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.ffconcat", "ffconcat version 1.0\nfile talking.mp4\n"),
        ("list.mp4", "ffconcat version 1.0\nfile talking.mp4\n"),
        ("list.m3u8", "#EXTM3U\n#EXTINF:4,\ntalking.mp4\n#EXT-X-ENDLIST\n"),
        ("list.sdp", "v=0\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_a_list_of_other_files_leads_nowhere(tmp_path: Path, name: str, text: str) -> None:
    shutil.copyfile(video(), tmp_path / "talking.mp4")
    (tmp_path / name).write_text(text)
    (row,) = predict(tmp_path / "out", "--input", tmp_path / name, code=1)
    assert (row["label"], row["reason"]) == ("", "not_an_image")


def test_table_and_copy_have_the_film_s_own_times_and_length(tmp_path: Path) -> None:
    path = write_film(tmp_path / "phone.mkv", UNEVEN, "matroska")
    rows = predict(tmp_path / "out", "--input", path)
    assert [float(row["time"]) for row in rows] == pytest.approx(UNEVEN, abs=1e-3)
    assert {row["reason"] for row in rows} == {"no_face"}
    (copy,) = (tmp_path / "out").glob("phone-*.mp4")
    film = Film(copy)
    assert [frame.time for frame in film] == pytest.approx(UNEVEN, abs=1e-4)
    assert film.end == pytest.approx(UNEVEN[-1] + 0.04, abs=1e-3)


def test_the_copy_is_what_browsers_play_and_the_same_every_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", [moved(0)] * 5, "FFV1")
    for name in ("1", "2"):
        predict(tmp_path / name, "--input", path)
    first, second = (next((tmp_path / name).glob("*.mp4")) for name in ("1", "2"))
    assert first.read_bytes() == second.read_bytes()
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = first.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays before it is all there


def test_a_film_of_an_odd_size_is_copied_with_even_sides(tmp_path: Path) -> None:
    images = [np.full((49, 67, 3), 90, np.uint8)] * 2
    predict(tmp_path / "out", "--input", write(tmp_path / "odd.avi", images, "FFV1"))
    (drawn,) = (tmp_path / "out").glob("odd*")
    assert next(iter(Film(drawn))).image.shape == (48, 66, 3)


def test_a_file_that_is_no_video_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(Reject, match="corrupt"):
        Film(tmp_path / "a.mp4")


def test_a_stream_by_its_address_is_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", [moved(0)] * 3, "MJPG")
    rows = predict(tmp_path / "out", "--stream", f"file:{path}", "--record")
    assert {row["label"] for row in rows} == {"smile"}
    assert rows[0]["file"] == f"file:{path}"
    assert (tmp_path / "out" / "live.mp4").stat().st_size > 0


def test_an_error_while_reading_is_raised_where_frames_are_waited_for() -> None:
    class Broken:
        live = False

        def __iter__(self) -> Any:
            yield Frame(0.0, moved(0), 0.04)
            raise RuntimeError("cable pulled")

    source: Any = Broken()
    with Ahead(source) as frames, pytest.raises(RuntimeError, match="cable pulled"):
        assert len(list(frames)) == 1


def test_the_last_frame_of_a_stream_is_not_lost_when_it_ends() -> None:
    class Short:
        live = True
        frames = 0

        def __iter__(self) -> Any:
            yield Frame(0.0, moved(0), 0.04)

    source: Any = Short()
    with Ahead(source) as frames:
        time.sleep(0.3)  # the stream has ended by the time that its frame is taken
        assert len(list(frames)) == 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    searches: list[int] = []
    real = Chain.find

    def find(chain: Chain, image: Image) -> list[Facts]:
        searches.append(1)
        return real(chain, image)

    monkeypatch.setattr(Chain, "find", find)
    return searches


def test_faces_are_searched_in_each_nth_frame_and_followed_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches = counted(monkeypatch)
    tracker = Tracker(LIPS, every=6)
    found = [tracker(moved(3 * number))[0] for number in range(12)]
    assert len(searches) == 2
    assert {number for number, _ in found} == {0}
    middles = [np.mean(crop.facts["landmarks"], axis=0)[0] for _, crop in found]
    assert np.diff(middles) == pytest.approx(3, abs=1.5)
    assert middles[-1] - middles[0] == pytest.approx(33, abs=4)


def test_a_face_that_left_is_given_up_soon_and_a_new_one_has_another_number() -> None:
    tracker = Tracker(LIPS, every=2)
    wall = np.full((240, 320, 3), 170, np.uint8)
    assert tracker(moved(0))[0][0] == 0
    tracker(moved(0))
    gone = [tracker(wall)[0] for _ in range(GIVE_UP + 2)]
    assert gone[-1] == (-1, Crop({}, reason="no_face"))
    back = next(number for _ in range(2) if (number := tracker(moved(0))[0][0]) >= 0)
    assert back == 1


def test_each_of_two_faces_keeps_its_number() -> None:
    everyone = Chain(LIPS.normalize, LIPS.faces, LIPS.crop, everyone=True)
    tracker = Tracker(everyone, every=1)
    both = [np.hstack([moved(0), moved(0, "openmouth")]) for _ in range(3)]
    seen = [[number for number, _ in tracker(image)] for image in both]
    assert [sorted(numbers) for numbers in seen] == [[0, 1]] * 3


def test_shares_follow_in_the_time_given_and_frames_alone_where_it_is_none() -> None:
    smooth, alone = Smooth(0.5), Smooth(0)
    assert smooth(0, 0.0, (1.0, 0.0)) == alone(0, 0.0, (1.0, 0.0)) == (1.0, 0.0)
    first, second = smooth(0, 0.5, (0.0, 1.0))
    assert first == pytest.approx(np.exp(-1)) and first + second == pytest.approx(1)
    assert alone(0, 0.5, (0.0, 1.0)) == (0.0, 1.0)
    assert smooth(1, 0.5, (0.0, 1.0)) == (0.0, 1.0)  # another face


def test_smoothed_labels_flicker_less(tmp_path: Path) -> None:
    rough = predict(tmp_path / "a", "--input", video(), "--no-draw", "--smooth", "0")
    level = predict(tmp_path / "b", "--input", video(), "--no-draw", "--smooth", "0.6")
    steps = [
        np.abs(np.diff([float(row["p_smile"] or 0) for row in rows if row["label"]])).sum()
        for rows in (rough, level)
    ]
    assert steps[1] < steps[0]


@pytest.mark.parametrize(
    ("other", "share"), [((0, 0, 10, 10), 1.0), ((5, 0, 10, 10), 1 / 3), ((20, 0, 5, 5), 0.0)]
)
def test_overlap_is_intersection_over_union(other: tuple[int, int, int, int], share: float) -> None:
    assert overlap((0, 0, 10, 10), other) == pytest.approx(share)


def test_a_model_of_whole_pictures_takes_each_frame_as_it_is() -> None:
    tracker = Tracker(Chain(Normalize()), every=5)
    ((number, crop),) = tracker(moved(0))
    assert (number, crop.facts) == (0, {})
    assert crop.image is not None and np.array_equal(crop.image, moved(0))


def test_a_frame_is_answered_as_a_picture_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", [moved(0)] * 2, "FFV1")
    frame, _ = Film(path)
    (picture,) = Predictor(model())(frame.image)
    row = predict(tmp_path / "out", "--input", path, "--no-draw")[0]
    shares = [float(row[f"p_{label}"]) for label in picture.labels]
    assert frame.time == 0 and shares == pytest.approx(picture.shares, abs=1e-3)


def test_a_followed_face_is_cut_as_a_full_look_cuts_it() -> None:
    tracker = Tracker(LIPS, every=4)
    for right in range(4):
        ((_, crop),) = tracker(moved(right))
        full = LIPS.cut(moved(right), LIPS.find(moved(right))[0])
        assert overlap(crop.facts["crop"], full.facts["crop"]) > 0.9


def test_a_mouth_that_is_not_usable_has_its_reason_until_the_next_search() -> None:
    strict = Chain(Normalize(), Faces(), Lips(min_presence=1.1))
    tracker = Tracker(strict, every=4)
    reasons = [tracker(moved(right))[0][1].reason for right in range(6)]
    assert reasons == ["implausible_face"] * 6
