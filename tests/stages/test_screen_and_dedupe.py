"""Useless shapes, empty pictures and copies are dropped, each for its reason."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from pipeline.files import digest
from pipeline.pictures import encode
from pipeline.sample import Image, Reject, Sample
from stages.dedupe import Dedupe
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
    assert result.facts.keys() == {"format", "width", "height", "spread"}


def samples(contents: dict[str, bytes]) -> list[Sample]:
    return [
        Sample(key, key.split("/")[0], Path(key), digest=digest(data))
        for key, data in contents.items()
    ]


def verdicts(given: list[Sample]) -> dict[str, tuple[str, object]]:
    return {
        one.sample.key: (one.reject.reason, one.reject.measured["of"]) if one.reject else ("", None)
        for one in Dedupe()(given)
    }


def test_of_identical_pictures_the_first_by_key_stays() -> None:
    given = samples({"smile/b.jpg": b"1", "none/z.jpg": b"1", "smile/a.jpg": b"2"})
    given += samples({"smile/c.jpg": b"1"})
    assert verdicts(given) == {
        "none/z.jpg": ("", None),
        "smile/a.jpg": ("", None),
        "smile/b.jpg": ("duplicate", "none/z.jpg"),
        "smile/c.jpg": ("duplicate", "none/z.jpg"),
    }


def test_the_order_of_files_changes_nothing() -> None:
    given = samples({f"smile/{number:03d}.jpg": bytes([number % 7]) for number in range(50)})
    expected = verdicts(given)
    for seed in range(5):
        shuffled = random.Random(seed).sample(given, len(given))
        assert list(verdicts(shuffled).items()) == list(expected.items())
    assert sum(reason == "" for reason, _ in expected.values()) == 7


def test_different_pictures_all_stay() -> None:
    given = samples({f"smile/{number}.jpg": str(number).encode() for number in range(20)})
    assert all(decision.reject is None for decision in Dedupe()(given))


def test_nothing_in_gives_nothing_out() -> None:
    assert list(Dedupe()([])) == []
