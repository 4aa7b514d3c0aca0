"""Folds: groups stay whole, every picture is judged once, by a model that never saw its group."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sets import put_divided, train

from pipeline.sample import Sample
from pipeline.trouble import Usage
from stages.training.repeat import folds, group_of

PERSON = r"/(p\d+)-"


def samples(sizes: list[int]) -> list[Sample]:
    """A person for each size, with so many pictures."""
    keys = [
        f"{('none', 'smile')[number % 2]}/p{person}-{number}.png"
        for person, size in enumerate(sizes)
        for number in range(size)
    ]
    return [Sample(key, key.split("/")[0], Path(key)) for key in keys]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=25), st.integers(2, 6))
@settings(max_examples=80, deadline=None)
def test_groups_stay_whole_and_every_picture_is_in_one_fold(sizes: list[int], count: int) -> None:
    given_samples = samples(sizes)
    if len(sizes) < count:
        with pytest.raises(Usage, match=rf"^{len(sizes)} group\(s\) do not fill {count} folds$"):
            folds(given_samples, count, PERSON)
        return
    parts = folds(given_samples, count, PERSON)
    assert len(parts) == count and all(parts)
    assert sorted(place for part in parts for place in part) == list(range(len(given_samples)))
    people = [{group_of(given_samples[place].key, PERSON) for place in part} for part in parts]
    assert sum(map(len, people)) == len(sizes)
    assert max(map(len, parts)) - min(map(len, parts)) <= max(sizes)


def test_the_order_of_pictures_changes_no_fold() -> None:
    given_samples = samples([3, 5, 2, 4, 4, 1])

    def keys(order: list[Sample]) -> list[set[str]]:
        return [{order[place].key for place in part} for part in folds(order, 3, PERSON)]

    shuffled = random.Random(3).sample(given_samples, len(given_samples))
    assert keys(given_samples) == keys(given_samples)
    assert sorted(map(sorted, keys(shuffled))) == sorted(map(sorted, keys(given_samples)))


def test_without_a_group_each_picture_is_its_own() -> None:
    parts = folds(samples([20]), 4, "")
    assert [len(part) for part in parts] == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("group_by", "group"),
    [
        (r"/(p\d+)-", "p7"),
        (r"p\d+", "p7"),
        (r"(nobody)", "smile/p7-1.png"),
        (r"(x)?p\d", None),
        ("", "smile/p7-1.png"),
    ],
)
def test_a_group_is_what_the_expression_finds(group_by: str, group: str | None) -> None:
    found = group_of("smile/p7-1.png", group_by)
    assert isinstance(found, str)
    assert group is None or found == group


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(Usage, match=r"^--group-by '\(p' is no regular expression: "):
        folds(samples([3, 3]), 2, "(p")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    put_divided(tmp_path / "raw", {"none": 20, "smile": 16}, {"none": 8, "smile": 8})
    return tmp_path


QUICK = ("--epochs", "2", "--batch", "16", "--name", "quick")


def test_folds_judge_each_picture_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(home, *QUICK, "--folds", "3", "--group-by", PERSON) == 0
    said = capsys.readouterr().out.splitlines()
    run = home / "processed" / "runs" / "quick-folds"
    rows = list(csv.DictReader((run / "predictions.csv").read_text().splitlines()))
    raw = home / "raw"
    on_disk = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.png"))
    assert sorted(row["file"] for row in rows) == on_disk and len(rows) == 52
    assert list(rows[0]) == ["file", "label", "predicted", "p_none", "p_smile"]
    for row in rows:
        assert row["label"] == row["file"].split("/")[1]
        none, smile = float(row["p_none"]), float(row["p_smile"])
        assert none + smile == pytest.approx(1, abs=2e-4)
        assert row["predicted"] == ("none" if none >= smile else "smile") or none == smile
    told = json.loads((run / "evaluation.json").read_text())
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert told["together"]["count"] == 52
    assert told["together"]["accuracy"] == pytest.approx(right / 52)
    assert len(told["accuracy"]["values"]) == 3 and told["settings"]["folds"] == 3
    pairs = Counter((row["label"], row["predicted"]) for row in rows)
    names = ("none", "smile")
    confusion = [[pairs[true, guess] for guess in names] for true in names]
    assert told["together"]["confusion"] == confusion
    assert sum(line.startswith("seed 0, fold ") for line in said) == 3
    assert f"every answer: {run / 'predictions.csv'}" == said[-1]


def test_seeds_repeat_a_run_and_judge_val_alone(home: Path) -> None:
    assert train(home, *QUICK, "--seeds", "2", "--seed", "5") == 0
    run = home / "processed" / "runs" / "quick-seeds"
    rows = list(csv.DictReader((run / "predictions.csv").read_text().splitlines()))
    assert len(rows) == 16 and all(row["file"].startswith("val/") for row in rows)
    told = json.loads((run / "evaluation.json").read_text())
    values = told["accuracy"]["values"]
    assert len(values) == 2
    assert told["accuracy"]["mean"] == pytest.approx(sum(values) / 2)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--folds", "9", "--group-by", r"/(\w)\w*/"), "2 group(s) do not fill 9 folds"),
        (("--folds", "2", "--group-by", "(p"), "--group-by '(p' is no regular expression"),
        (("--folds", "1"), "--folds must be 2 or more"),
        (("--seeds", "0"), "--seeds 1 or more"),
    ],
)
def test_folds_that_cannot_be_had_give_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert train(home, *QUICK, *more) == 2
    assert message in capsys.readouterr().err
