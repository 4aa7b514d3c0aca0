"""A short video of the warped portrait, and a table of its true labels by the second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from pipeline import files
from pipeline.sample import Image
from pipeline.tables import csv_text
from pipeline.trouble import Trouble
from stages.demo.portrait import POSES, Points, portrait, warp
from stages.video.file import VideoFile
from stages.video.frames import Frame

SCRIPT = (  # a second each
    "none", "none", "smile", "smile", "pouting", "pouting", "nobody",
    "openmouth", "openmouth", "none", "nobody", "smile",
)  # fmt: skip
WIDTH, HEIGHT, RATE = 640, 480, 30
CHANGE = 8  # frames from one second's picture to the next one's


def write_video(
    path: Path, seed: int, script: Sequence[str] = SCRIPT, change: int = CHANGE
) -> None:
    """An MP4 of 640×480 pixels and 30 frames a second, and beside it a CSV of second and label.

    `script` names the expression of each second, `change` is how many frames one expression
    takes to become the next. The label is empty in the seconds without a face. Raises Trouble
    where the video cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        video = VideoFile(path, WIDTH, HEIGHT, RATE)
        for number, image in enumerate(frames(seed, script, change)):
            video.write(Frame(number / RATE, image, 1 / RATE))
        video.finish()
    except Trouble as trouble:
        raise Trouble(f"{trouble}: give --no-video to do without") from trouble
    rows = [[second, label.replace("nobody", "")] for second, label in enumerate(script)]
    files.write(path.with_suffix(".csv"), csv_text(["second", "label"], rows))


def frames(seed: int, script: Sequence[str] = SCRIPT, change: int = CHANGE) -> Iterator[Image]:
    """All frames, 480×640×3 uint8 RGB: each expression grows out of the last one, the head moves
    a little, and where nobody is to be seen the portrait has slid out to the right.
    """
    original, points = portrait()
    rng = np.random.default_rng([seed, len(script)])
    poses = {label: pose(points, rng) for label, pose in POSES.items()}

    @cache
    def face(before: str, label: str, share: float) -> Image:
        return warp(original, points, (1 - share) * poses[before] + share * poses[label])

    phases = rng.uniform(0, 2 * np.pi, 4)
    for number in range(RATE * len(script)):
        second, frame = divmod(number, RATE)
        label, before = script[second], script[max(0, second - 1)]
        share = min(1.0, (frame + 1) / change)
        away = {label: share, before: 1 - share}.get("nobody", 0.0)
        if "nobody" in (label, before):
            label = before = label if before == "nobody" else before
        picture = face(before, label, share if label != before else 1.0)
        yield _seen(picture, np.sin(phases + 2 * number / RATE), away, rng)


def _seen(picture: Image, sway: Points, away: float, rng: np.random.Generator) -> Image:
    """The portrait as the camera sees it: swayed, moved out by a share of the width, grainy."""
    import cv2

    face = (0.44 * picture.shape[1], 0.25 * picture.shape[0])
    tilt, right, down, near = sway.tolist()
    matrix = cv2.getRotationMatrix2D(face, 5 * tilt, 1.6 + 0.1 * near)
    matrix[:, 2] += (
        WIDTH / 2 - face[0] + 30 * right + 1.2 * away * WIDTH,
        HEIGHT * 0.42 - face[1] + 12 * down,
    )
    wall = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderValue=(168, 174, 170))
    grain = rng.integers(-5, 6, wall.shape, dtype=np.int8)
    return np.asarray(np.clip(wall.astype(np.int16) + grain, 0, 255), np.uint8)
