"""Pictures of a useless shape or without content are dropped, each for its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.pictures import encode
from pipeline.sample import Image, Reject, Sample
from stages.normalize import Normalize
from stages.screen import Screen


def noise(width: int, height: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def screened(folder: Path, image: Image, screen: Screen | None = None) -> Sample:
    file = folder / "one.jpg"
    file.write_bytes(encode(image))
    return (screen or Screen())(Normalize()(Sample("smile/one.jpg", "smile", file)))


def refusal(folder: Path, image: Image, screen: Screen | None = None) -> Reject:
    with pytest.raises(Reject) as caught:
        screened(folder, image, screen)
    return caught.value


@pytest.mark.parametrize(("width", "height"), [(401, 40), (40, 401), (32, 330)])
def test_longer_than_ten_to_one_is_odd(width: int, height: int, tmp_path: Path) -> None:
    reject = refusal(tmp_path, noise(width, height))
    assert reject.reason == "odd_aspect"
    assert reject.measured == {"aspect": round(max(width, height) / min(width, height), 1)}


def test_exactly_ten_to_one_is_kept(tmp_path: Path) -> None:
    assert screened(tmp_path, noise(400, 40)).facts["width"] == 400
    assert screened(tmp_path, noise(40, 400)).facts["height"] == 400


def test_a_short_side_under_the_least_is_too_small(tmp_path: Path) -> None:
    reject = refusal(tmp_path, noise(200, 31))
    assert (reject.reason, reject.measured) == ("too_small", {"side": 31})
    assert screened(tmp_path, noise(200, 32)).facts["height"] == 32


def test_shape_is_judged_before_size(tmp_path: Path) -> None:
    assert refusal(tmp_path, noise(200, 4)).reason == "odd_aspect"


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (30, 200, 90)])
def test_one_colour_is_blank(colour: tuple[int, int, int], tmp_path: Path) -> None:
    reject = refusal(tmp_path, np.full((80, 90, 3), colour, np.uint8))
    assert reject.reason == "blank"
    assert reject.measured["spread"] < 0.5


def test_a_faint_picture_is_kept(tmp_path: Path) -> None:
    image = np.full((80, 90, 3), 100, np.uint8)
    image[:, 45:] = 110
    assert screened(tmp_path, image).facts["spread"] == pytest.approx(5, abs=0.5)


def test_the_spread_is_that_of_the_whole_picture(tmp_path: Path) -> None:
    image = noise(700, 500)
    expected = image.mean(axis=2).std()
    assert screened(tmp_path, image).facts["spread"] == pytest.approx(expected, rel=0.1)


def test_other_limits_give_other_verdicts(tmp_path: Path) -> None:
    assert refusal(tmp_path, noise(90, 80), Screen(min_side=81)).reason == "too_small"
    assert refusal(tmp_path, noise(90, 40), Screen(max_aspect=2)).reason == "odd_aspect"
    assert refusal(tmp_path, noise(90, 80), Screen(min_spread=127)).reason == "blank"


def test_screening_leaves_bytes_and_facts_alone(tmp_path: Path) -> None:
    data = encode(noise(90, 80))
    result = screened(tmp_path, noise(90, 80))
    assert result.encoded == data
    assert result.facts == Normalize()(Sample("smile/one.jpg", "smile", tmp_path / "one.jpg")).facts
