"""A whole-set stage: what it remembers, and which rows change with its decisions."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_pipeline import Home, chain, picture

from pipeline import files
from pipeline.ledger import Ledger
from pipeline.sample import Outcome
from pipeline.step import Step
from stages.dedupe import Dedupe
from stages.split import Split


def steps(split: Split | None = None) -> list[Step]:
    *before, last = chain()
    return [*before, replace(last, stage=split or Split(val=0.25))]


def sides(home: Home) -> dict[str, str]:
    return {key: output.split("/")[1] for key, output in home.rows("key, output", "stage='split'")}


@pytest.fixture
def grown(tmp_path: Path) -> tuple[Home, dict[str, str]]:
    """Twenty pictures that were divided, then twenty more; and the sides of the first twenty."""
    home = Home(tmp_path)
    for seed in range(20):
        home.put(f"a/{seed:02}.jpg", picture(seed))
    home.run(steps())
    before = sides(home)
    for seed in range(20, 40):
        home.put(f"a/{seed - 20:02}b.jpg", picture(seed))
    return home, before


def test_pictures_keep_their_sides_as_a_set_grows(grown: tuple[Home, dict[str, str]]) -> None:
    home, before = grown
    home.run(steps())
    after = sides(home)
    assert Counter(after.values()) == {"train": 30, "val": 10}
    assert before.items() <= after.items()
    assert home.run(steps())[-1].endswith("(up to date)")


def test_a_picture_that_comes_back_takes_its_side_again(
    grown: tuple[Home, dict[str, str]],
) -> None:
    home, before = grown
    home.run(steps())
    gone = {key: (home.path / "raw" / key).read_bytes() for key in before}
    for key in gone:
        (home.path / "raw" / key).unlink()
    home.run(steps())
    assert Counter(sides(home).values()) == {"train": 15, "val": 5}
    for key, data in gone.items():
        home.put(key, data)
    home.run(steps())
    assert before.items() <= sides(home).items()


def test_another_seed_is_another_draw_and_the_first_is_not_forgotten(
    grown: tuple[Home, dict[str, str]],
) -> None:
    home, _ = grown
    home.run(steps())
    first = sides(home)
    home.run(steps(Split(val=0.25, seed=1)))
    assert sides(home) != first
    home.run(steps())
    assert sides(home) == first


@pytest.mark.parametrize("function", ["remove", "link", "write"])
def test_a_kill_while_a_grown_set_is_divided_changes_no_side(
    grown: tuple[Home, dict[str, str]], monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    home, before = grown
    home.run(steps()[:-1])
    split = Split(val=0.35, group_by=r"/(\d)")  # other settings: old pictures move too
    whole = Home(home.path / "whole")
    for name in ("raw", "processed"):
        shutil.copytree(home.path / name, whole.path / name)
    whole.run(steps(split))
    expected = sides(whole)
    assert any(expected[key] != side for key, side in before.items())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, function, killed)
        home.run(steps(split))
    home.run(steps(split))
    assert sides(home) == expected


def test_a_group_that_gets_another_name_has_it_in_all_rows_and_in_the_table(
    tmp_path: Path,
) -> None:
    home, split = Home(tmp_path), Split(val=0.25, group_by=r"(clip)")
    for seed in range(8):
        home.put(f"a/{'clip' if seed < 3 else 'other'}{seed}.jpg", picture(seed))
    said = home.run(steps(split))
    assert said[-1] == "split: 1 group of 3 pictures stays on one side"
    home.put("a/a_clip.jpg", picture(8))  # sorts before the others, so it names the group
    said = home.run(steps(split))
    assert said[-1] == "split: 1 group of 4 pictures stays on one side"
    rows = home.rows("json_extract(facts, '$.group')", "stage='split' AND key LIKE '%clip%'")
    assert rows == [("a/a_clip.jpg",)] * 4
    table = (tmp_path / "processed" / "dataset" / "metadata.csv").read_text()
    assert sum(line.endswith(",a/a_clip.jpg") for line in table.splitlines()) == 4


def test_a_changed_table_of_groups_divides_anew_and_says_so(tmp_path: Path) -> None:
    home, table = Home(tmp_path), tmp_path / "people.csv"
    for seed in range(8):
        home.put(f"a/{seed}.jpg", picture(seed))
    table.write_text("key,group\na/1.jpg,x\na/2.jpg,x\n")
    home.run(steps(Split(val=0.25, groups=table)))
    assert home.run(steps(Split(val=0.25, groups=table)))[-1].endswith("(up to date)")
    table.write_text("key,group\na/3.jpg,x\na/4.jpg,x\n")
    said = home.run(steps(Split(val=0.25, groups=table)))
    assert any(line.startswith("split.groups people.csv (") for line in said)
    assert len({sides(home)[key] for key in ("a/3.jpg", "a/4.jpg")}) == 1


def test_only_new_decisions_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    for seed in range(6):
        home.put(f"a/{seed}.jpg", picture(seed // 2))  # each picture twice: three are rejected
    home.run(steps())
    home.put("a/new.jpg", picture(9))
    recorded: list[str] = []
    record = Ledger.record

    def noted(ledger: Ledger, stage: str, outcomes: Iterable[Outcome], *more: Any) -> None:
        rows = list(outcomes)
        recorded.extend(f"{stage} {row.key}" for row in rows if stage == "unique")
        record(ledger, stage, rows, *more)

    monkeypatch.setattr(Ledger, "record", noted)
    home.run(steps())
    assert recorded == ["unique a/new.jpg"]


def test_facts_that_a_whole_set_stage_does_not_need_are_handed_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.put("a/1.jpg", picture(1))
    home.run(steps())
    ((before,), (after,)) = home.rows("facts", "stage IN ('lips', 'split')")
    assert "mean" in json.loads(before) and "mean" not in Dedupe.needs | Split.needs
    assert json.loads(after) == json.loads(before) | {"split": "train"}
