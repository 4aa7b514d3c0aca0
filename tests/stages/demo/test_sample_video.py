"""The demo's video: what is to be seen in each second is what the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.sample import Image
from stages.demo.video import HEIGHT, RATE, SCRIPT, WIDTH, frames, write_video
from stages.face.landmarks import find_landmarks
from stages.faces import Faces
from stages.video.film import Film

SEEN = ("smile", "nobody", "openmouth")


def grey(image: Image) -> Image:
    return np.asarray(image.mean(axis=2), np.uint8)


def test_each_second_shows_the_expression_of_the_table_or_nobody() -> None:
    images = list(frames(0, SEEN, change=1))
    assert len(images) == RATE * len(SEEN)
    assert {image.shape for image in images} == {(HEIGHT, WIDTH, 3)}
    opened = {}
    for second, label in enumerate(SEEN):
        image = images[second * RATE + RATE // 2]
        boxes = Faces().find(grey(image))
        assert bool(boxes) == (label != "nobody")
        if boxes:
            points = find_landmarks(image, boxes[0])
            opened[label] = int(points[66, 1] - points[62, 1])
    assert opened["openmouth"] > 1.5 * opened["smile"]


def test_the_same_seed_gives_the_same_frames() -> None:
    one, same, other = (next(frames(seed, SEEN, change=1)) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_the_video_has_its_table_beside_it(tmp_path: Path) -> None:
    write_video(tmp_path / "video.mp4", 0, SEEN, change=1)
    assert (tmp_path / "video.csv").read_text().split() == [
        "second,label",
        "0,smile",
        "1,",
        "2,openmouth",
    ]
    source = Film(tmp_path / "video.mp4")
    assert (source.rate, source.frames) == (RATE, RATE * len(SEEN))
    drawn = [frame.image for frame in source]
    made = list(frames(0, SEEN, change=1))
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(drawn, made, strict=True)]
    assert max(apart) < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["video.csv", "video.mp4"]


def test_each_label_has_a_second_and_there_are_stretches_without_a_face() -> None:
    assert {"none", "smile", "pouting", "openmouth", "nobody"} == set(SCRIPT)


def test_an_unwritable_video_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".new-video.mp4").mkdir()
    with pytest.raises(Exception, match="cannot be written as a video: give --no-video"):
        write_video(tmp_path / "video.mp4", 0, SEEN)
