"""Of copies the best stays; near pictures get a group; one picture under two labels is refused."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from small_likeness import CHANGES, next_frame, normalized, scene
from small_pipeline import Home

from pipeline.labels import label_of
from pipeline.pictures import decode, encode
from pipeline.sample import Facts, Image, Sample
from stages.dedupe import Dedupe
from stages.likeness.hashes import CROPS


def verdicts(samples: Sequence[Sample], dedupe: Dedupe | None = None) -> dict[str, Any]:
    """Of each key: its group where it is kept ("" for none), else the reason and measurement."""
    return {
        decision.sample.key: (decision.reject.reason, decision.reject.measured)
        if decision.reject
        else decision.sample.facts.get("group", "")
        for decision in (dedupe or Dedupe())(samples)
    }


def duplicate(of: str, distance: int, kind: str) -> tuple[str, dict[str, Any]]:
    return "duplicate", {"of": of, "distance": distance, "kind": kind}


def saved(image: Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, format, **options)
    return buffer.getvalue()


def with_comment(jpeg: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe\x00\x07hello" + jpeg[2:]


JPEG = encode(scene(0), 80)
SAME_PIXELS = {
    "comment": with_comment(JPEG),
    "trailer": JPEG + b"more",
    "no end mark": JPEG[:-2],
    "EXIF": saved(decode(JPEG), "PNG", exif=Pillow.Exif()),
    "PNG": saved(decode(JPEG), "PNG"),
    "TIFF": saved(decode(JPEG), "TIFF"),
}


@pytest.mark.parametrize("name", SAME_PIXELS)
def test_the_same_pixels_are_one_picture_whatever_the_bytes(name: str, tmp_path: Path) -> None:
    samples = [
        normalized(tmp_path, "smile/a.jpg", JPEG),
        normalized(tmp_path, "smile/b.jpg", SAME_PIXELS[name]),
    ]
    assert verdicts(samples) == {
        "smile/a.jpg": "",
        "smile/b.jpg": duplicate("smile/a.jpg", 0, "exact"),
    }


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_duplicate_of_the_better_picture(change: str, tmp_path: Path) -> None:
    samples = [
        normalized(tmp_path, "smile/a.jpg", CHANGES[change](scene(0))),
        normalized(tmp_path, "smile/b.jpg", scene(0)),
        normalized(tmp_path, "smile/c.jpg", scene(1)),
    ]
    better, worse = sorted(samples[:2], key=lambda one: (-one.facts["width"], -one.facts["bytes"]))
    found = verdicts(samples)
    assert found[better.key] == found["smile/c.jpg"] == ""
    reason, measured = found[worse.key]
    assert (reason, measured["of"], measured["kind"]) == ("duplicate", better.key, "near")
    assert 0 <= measured["distance"] <= 22


def test_of_copies_most_pixels_then_least_compressed_then_the_first_key_stays(
    tmp_path: Path,
) -> None:
    image = scene(0, 640, 480)
    files = {"a": encode(image, 60), "b": encode(image, 90), "c": encode(image, 90) + b"tail"}
    files["d"] = encode(CHANGES["half the size"](image), 100)
    samples = [normalized(tmp_path, f"smile/{name}.jpg", data) for name, data in files.items()]
    found = verdicts(samples)
    assert [key for key, verdict in found.items() if verdict == ""] == ["smile/b.jpg"]
    assert found["smile/c.jpg"] == duplicate("smile/b.jpg", 0, "exact")


def noted(
    key: str, flips: int = 0, seed: int = 0, side: int = 640, content: str = "", size: int = 1000
) -> Sample:
    """A sample that has but its facts: in each hash of picture `seed` the first bits flipped."""
    words = np.random.default_rng(seed).integers(0, 2**64, (CROPS, 4), dtype=np.uint64)
    bits = np.unpackbits(words.view(np.uint8), axis=1)
    bits[:, :flips] ^= 1
    hashes = base64.b64encode(np.packbits(bits, axis=1).tobytes()).decode()
    facts: Facts = {"hashes": hashes, "content": content or key, "width": side, "height": side}
    return Sample(key, label_of(key), Path("nowhere"), {**facts, "bytes": size})


def test_copies_are_compared_with_the_kept_picture_not_through_a_third() -> None:
    found = verdicts([noted("smile/a.jpg"), noted("smile/b.jpg", 20), noted("smile/c.jpg", 40)])
    assert found["smile/b.jpg"] == duplicate("smile/a.jpg", 20, "near")
    assert found["smile/c.jpg"] == found["smile/a.jpg"] != "", "one group, through the copy"


def test_near_but_no_copy_is_one_group() -> None:
    found = verdicts([noted("smile/a.jpg"), noted("smile/b.jpg", seed=1), noted("none/c.jpg", 36)])
    assert found["smile/a.jpg"] == found["none/c.jpg"] != ""
    assert found["smile/b.jpg"] == ""
    assert verdicts([noted("smile/a.jpg"), noted("none/c.jpg", 37)]) == {
        "none/c.jpg": "",
        "smile/a.jpg": "",
    }


@pytest.mark.parametrize(
    ("near", "sides", "kept"),
    [
        ("auto", (64, 64), 2),
        ("auto", (64, 640), 1),
        ("drop", (64, 64), 1),
        ("group", (640, 640), 2),
    ],
)
def test_small_pictures_are_grouped_and_the_setting_overrules(
    near: Literal["auto", "drop", "group"], sides: tuple[int, int], kept: int
) -> None:
    samples = [noted(f"smile/{side}-{n}.jpg", 4 * n, side=side) for n, side in enumerate(sides)]
    found = list(verdicts(samples, Dedupe(near=near)).values())
    assert sum(isinstance(verdict, str) for verdict in found) == kept
    assert kept == 1 or found[0] == found[1] != ""


def test_the_same_pixels_are_dropped_in_small_pictures_too() -> None:
    samples = [noted(f"smile/{name}.jpg", side=48, content="same") for name in "abc"]
    samples += [
        noted("smile/blank.jpg", content="blank"),
        noted("smile/blank2.jpg", content="blank"),
    ]
    samples = [
        replace(one, facts={**one.facts, "hashes": ""}) if "blank" in one.key else one
        for one in samples
    ]
    found = verdicts(samples, Dedupe(near="group"))
    assert [key for key, verdict in found.items() if verdict == ""] == [
        "smile/a.jpg",
        "smile/blank.jpg",
    ]


@pytest.mark.parametrize("change", ["half the size", "grey", "mirrored", "cropped by 7%"])
def test_one_picture_under_two_labels_is_refused_under_both(change: str, tmp_path: Path) -> None:
    image = scene(0)
    samples = [
        normalized(tmp_path, "none/a.jpg", image),
        normalized(tmp_path, "smile/b.jpg", CHANGES[change](image)),
        normalized(tmp_path, "smile/c.jpg", scene(1)),
    ]
    conflict = "conflicting_label"
    assert verdicts(samples) == {
        "none/a.jpg": (conflict, {"of": ["smile/b.jpg"]}),
        "smile/b.jpg": (conflict, {"of": ["none/a.jpg"]}),
        "smile/c.jpg": "",
    }
    assert verdicts(samples, Dedupe(prefer="smile")) == {
        "none/a.jpg": (conflict, {"of": ["smile/b.jpg"]}),
        "smile/b.jpg": "",
        "smile/c.jpg": "",
    }
    assert verdicts(samples, Dedupe(prefer="pouting")) == verdicts(samples)


def test_the_next_expression_is_no_conflict_but_one_group(tmp_path: Path) -> None:
    samples = [
        normalized(tmp_path, "none/a.jpg", scene(0)),
        normalized(tmp_path, "smile/b.jpg", next_frame(scene(0))),
    ]
    found = verdicts(samples)
    assert found["none/a.jpg"] == found["smile/b.jpg"] != ""


def test_of_a_divided_set_training_loses_the_copy() -> None:
    samples = [
        noted("train/smile/a.jpg", side=900),
        noted("val/smile/b.jpg", 2),
        noted("test/smile/c.jpg", 4, side=320),
        noted("test/smile/d.jpg", seed=1),
        noted("train/smile/e.jpg", seed=1, content="test/smile/d.jpg"),
    ]
    found = verdicts(samples)
    assert [key for key, verdict in found.items() if verdict == ""] == [
        "test/smile/c.jpg",
        "test/smile/d.jpg",
    ]
    (line,) = Dedupe().remarks(list(Dedupe()(samples)))
    assert line.startswith("copies that lay in another of your train, val and test folders: 3;")


def test_groups_and_conflicts_are_told_in_a_line_each() -> None:
    samples = [
        noted("smile/a.jpg"),
        noted("smile/b.jpg", 30),
        noted("none/c.jpg", seed=1, content="c"),
    ]
    samples += [noted("smile/d.jpg", seed=1, content="c")]
    groups, conflicts = Dedupe().remarks(list(Dedupe()(samples)))
    assert groups.startswith("2 pictures are near others but kept") and "groups: 1" in groups
    assert "--prefer" in conflicts
    assert len(list(Dedupe(prefer="none").remarks(list(Dedupe(prefer="none")(samples))))) == 1


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="max_distance"):
        Dedupe(max_distance=40)


def test_nothing_in_gives_nothing_out() -> None:
    assert list(Dedupe()([])) == []


pictures = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 60), st.sampled_from((64, 320, 640))), max_size=25
)


@given(pictures, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_decisions(
    given: list[tuple[int, int, int]], chance: random.Random
) -> None:
    samples = [
        noted(f"smile/{n}.jpg", flips, seed, side) for n, (seed, flips, side) in enumerate(given)
    ]
    expected = list(verdicts(samples).items())
    assert len(expected) == len(samples)
    chance.shuffle(samples)
    assert list(verdicts(samples).items()) == expected


@given(pictures)
def test_without_the_kept_picture_a_copy_of_it_comes_back(
    given: list[tuple[int, int, int]],
) -> None:
    samples = [
        noted(f"smile/{n}.jpg", flips, seed, side) for n, (seed, flips, side) in enumerate(given)
    ]
    found = verdicts(samples)
    copies = {verdict[1]["of"] for verdict in found.values() if not isinstance(verdict, str)}
    for kept in copies:
        lost = {
            key
            for key, verdict in found.items()
            if not isinstance(verdict, str) and verdict[1]["of"] == kept
        }
        without = verdicts([sample for sample in samples if sample.key != kept])
        assert any(isinstance(without[key], str) or without[key][1]["of"] != kept for key in lost)


@given(pictures)
def test_what_is_kept_holds_no_copy_and_a_second_look_drops_nothing(
    given: list[tuple[int, int, int]],
) -> None:
    samples = [
        noted(f"smile/{n}.jpg", flips, seed, side) for n, (seed, flips, side) in enumerate(given)
    ]
    kept = [decision.sample for decision in Dedupe()(samples) if decision.reject is None]
    assert all(decision.reject is None for decision in Dedupe()(kept))


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_group_reaches_the_later_stages_and_leaves_them(tmp_path: Path, one_by_one: bool) -> None:
    home = Home(tmp_path)

    def groups() -> dict[str, str | None]:
        home.run(one_by_one=one_by_one)
        return dict(home.rows("key, facts ->> 'group'", "stage = 'split'"))

    small = scene(0, 100, 80)
    home.put("a/0.jpg", encode(small))
    home.put("a/1.jpg", encode(scene(1, 100, 80)))
    assert groups() == {"a/0.jpg": None, "a/1.jpg": None}
    near = home.put("b/2.jpg", encode(small, 40))
    found = groups()
    assert found["a/0.jpg"] is not None
    assert (found["a/1.jpg"], found["b/2.jpg"]) == (None, found["a/0.jpg"])
    home.calls()
    assert groups() == found and home.calls() == []
    near.unlink()
    assert groups() == {"a/0.jpg": None, "a/1.jpg": None}


def test_a_duplicate_comes_back_when_the_kept_picture_goes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    kept = home.put("a/0.jpg", encode(scene(0), 95))
    home.put("a/1.jpg", encode(scene(0), 60))
    home.run()
    assert home.rows("key, reason", "stage = 'unique'") == [
        ("a/0.jpg", ""),
        ("a/1.jpg", "duplicate"),
    ]
    kept.unlink()
    home.run()
    assert home.rows("key, verdict", "stage = 'lips'") == [("a/1.jpg", "kept")]
