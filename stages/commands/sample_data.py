"""A small labelled set made from one public-domain portrait, for trying the pipeline out.

The portrait is NASA's of astronaut Eileen Collins, which scikit-image ships. Its mouth is warped
by moving landmarks; light, size, tilt and quality vary. Synthetic, and one person only: a model
trained on it says nothing about anyone else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import files
from pipeline.sample import Image
from stages.demo.portrait import POSES, portrait, warp
from stages.demo.video import write_video

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class SampleData:
    """Make a small labelled set of four expressions, with a few spoilt files among them."""

    output: Path = Path("demo/raw")
    """The folder to fill."""
    count: int = 60
    """Pictures a label."""
    seed: int = 0
    """Another number gives other pictures."""
    video: bool = True
    """Make a video of the four expressions too, beside the folder."""

    def run(self, context: Context) -> int:
        """Writes the set, and the video beside it. Returns 0."""
        from pipeline.pictures import encode

        original, points = portrait()
        for label, pose in POSES.items():
            for number in range(self.count):
                rng = np.random.default_rng([self.seed, number, list(POSES).index(label)])
                expression = warp(original, points, pose(points, rng))
                picture = vary(expression, rng)
                files.write(
                    self.output / label / f"{label}_{number:03d}.jpg",
                    encode(picture, quality=int(rng.integers(60, 96))),
                )
        for name, data in _spoilt(encode(original)):
            files.write(self.output / name, data)
        if self.video:
            write_video(self.output.with_name("video.mp4"), self.seed)
        print(f"sample-data: {self.count} pictures of each of {', '.join(POSES)} in {self.output}")
        return 0


def vary(image: Image, rng: np.random.Generator) -> Image:
    """A square picture (S×S×3 uint8, 280 to 639 pixels) of the portrait: size, place, tilt, light,
    colour, blur and noise at random, sometimes mirrored.
    """
    import cv2

    side = int(rng.integers(280, 640))
    height, width = image.shape[:2]
    face = np.array([0.44 * width, 0.25 * height])
    zoom = side / 512 * rng.uniform(1.5, 2.2)
    matrix = cv2.getRotationMatrix2D(tuple(face), rng.uniform(-12, 12), zoom)
    matrix[:, 2] += np.array([0.5, 0.4]) * side - face + rng.normal(0, side * 0.03, 2)
    paper = tuple(float(value) for value in rng.integers(30, 226, 3))
    picture: Any = cv2.warpAffine(
        image, matrix, (side, side), flags=cv2.INTER_AREA, borderValue=paper
    ).astype(np.float32)
    left, right = rng.uniform(0.75, 1.2, 2)
    light = np.linspace(left, right, side, dtype=np.float32)
    picture *= light[None, :, None] if rng.random() < 0.5 else light[:, None, None]
    picture = 255 * (np.clip(picture, 0, 255) / 255) ** rng.uniform(0.75, 1.3)
    picture *= rng.uniform(0.9, 1.1, 3)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1))
    picture += rng.normal(0, rng.uniform(0, 5), picture.shape)
    mirrored = rng.random() < 0.5
    whole = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(whole[:, ::-1] if mirrored else whole)


def _spoilt(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Name below the folder and bytes of files that the stages drop, each for its own reason."""
    from pipeline.pictures import encode

    yield "smile/truncated.jpg", good[: len(good) // 2]
    yield "smile/not_an_image.jpg", b"<html><body>404 Not Found</body></html>\n"
    ramp = np.tile(np.linspace(0, 255, 1100, dtype=np.uint8)[None, :, None], (100, 1, 3))
    yield "none/banner_11_to_1.jpg", encode(ramp)
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    yield "none/no_face.jpg", encode(noise.repeat(10, axis=0).repeat(10, axis=1))
    yield "smile/original.jpg", good
    yield "smile/exact_copy.jpg", good
    yield "pouting/empty.jpg", b""
