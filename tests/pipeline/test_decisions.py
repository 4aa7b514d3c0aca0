"""A person's word: it wins over every stage, is kept by content, and redoes its picture alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pipeline import picture, put

from pipeline.__main__ import main
from pipeline.decisions import NAME, ByHand, Word, append, read
from pipeline.ledger import Ledger
from pipeline.trouble import Trouble

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9).map(
    lambda t: " ".join(t.split())
)
CROPS = st.none() | st.tuples(*[st.integers(-9, 99)] * 3)
DECISIONS = st.builds(
    ByHand, TEXT, st.sampled_from("abc"), st.sampled_from(["keep", "drop", ""]), TEXT, CROPS
)


@given(st.lists(DECISIONS, max_size=6))
def test_the_last_word_on_a_picture_counts(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[ByHand]
) -> None:
    path = tmp_path_factory.mktemp("processed") / NAME
    append(path, decisions)
    last = {decision.digest: decision for decision in decisions}
    assert read(path) == {digest: one for digest, one in last.items() if one.decision}


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "digest,decision\nx,maybe\n", "digest,decision,crop\nx,keep,1 2\n"]
)
def test_a_table_that_is_none_of_ours_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(Trouble, match=NAME):
        read(tmp_path / NAME)


class Project:
    """A raw and a processed folder, prepared as `--region whole`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processed = path / "processed"

    def prepare(self) -> dict[str, str]:
        """Where each picture of the data set lies, by key."""
        where = ["--raw", str(self.path / "raw"), "--processed", str(self.processed)]
        assert main(["split", *where, "--region", "whole", "--workers", "0"]) == 0
        with Ledger(self.processed / "ledger.sqlite") as ledger:
            return {key: path for path, key in ledger.outputs("split")}

    def content(self, key: str) -> str:
        with Ledger(self.processed / "ledger.sqlite") as ledger:
            samples = ledger.samples("normalize", self.processed)
            return {sample.key: str(sample.facts["content"]) for sample in samples}[key]

    def decide(
        self, key: str, word: Word, label: str = "", crop: tuple[int, int, int] | None = None
    ) -> None:
        append(self.processed / NAME, [ByHand(key, self.content(key), word, label, crop)])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four pictures of two labels, a copy, and one picture that is too small."""
    for number in range(4):
        put(tmp_path / f"raw/{'ab'[number % 2]}/{number}.jpg", picture(number, shape=(64, 64, 3)))
    put(tmp_path / "raw/a/copy.jpg", picture(0, shape=(64, 64, 3)))
    put(tmp_path / "raw/b/small.jpg", picture(9, shape=(20, 64, 3)))
    project = Project(tmp_path)
    assert project.prepare().keys() == {"a/0.jpg", "a/2.jpg", "b/1.jpg", "b/3.jpg"}
    return project


def test_a_dropped_picture_leaves_and_says_why(project: Project) -> None:
    project.decide("a/2.jpg", "drop")
    assert "a/2.jpg" not in project.prepare()
    with Ledger(project.processed / "ledger.sqlite") as ledger:
        assert ledger.counts("screen")[1] == {"by_hand": 1, "too_small": 1}


def test_a_kept_picture_comes_back_whatever_a_stage_says(project: Project) -> None:
    project.decide("b/small.jpg", "keep")
    assert "b/small.jpg" in project.prepare()


def test_a_picture_that_is_no_duplicate_stays(project: Project) -> None:
    project.decide("a/copy.jpg", "keep")  # the same content: the word holds for both
    assert {"a/copy.jpg", "a/0.jpg"} <= project.prepare().keys()


def test_a_relabelled_picture_moves(project: Project) -> None:
    project.decide("a/2.jpg", "keep", "b")
    assert project.prepare()["a/2.jpg"].split("/")[2] == "b"


def test_status_counts_decisions(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.decide("a/2.jpg", "drop")
    project.decide("b/1.jpg", "keep", "a")
    where = ["--raw", str(project.path / "raw"), "--processed", str(project.processed)]
    capsys.readouterr()
    assert main(["status", *where, "--region", "whole"]) == 0
    assert "decided by hand: 1 dropped, 1 relabelled" in capsys.readouterr().out
    assert main(["status", *where, "--region", "whole", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["decisions"]
    assert told == {"dropped": 1, "relabelled": 1}


def test_a_decision_taken_back_leaves_no_trace(project: Project) -> None:
    before = project.prepare()
    project.decide("a/2.jpg", "drop")
    project.prepare()
    project.decide("a/2.jpg", "")
    assert project.prepare() == before


def test_a_decision_outlives_a_rename_and_a_new_start(project: Project) -> None:
    project.decide("a/2.jpg", "drop")
    (project.path / "raw/a/2.jpg").rename(project.path / "raw/a/renamed.jpg")
    assert not {"a/2.jpg", "a/renamed.jpg"} & project.prepare().keys()
    assert main(["reset", "--yes", "--processed", str(project.processed)]) == 0
    assert "a/renamed.jpg" not in project.prepare()


def test_decisions_redo_their_pictures_alone(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.decide("a/2.jpg", "keep", "b")
    project.prepare()
    capsys.readouterr()
    project.prepare()
    assert capsys.readouterr().out.count("(up to date)") == 4


@pytest.mark.parametrize("region", ["lips", "face"])
def test_a_crop_set_by_hand_is_cut_where_no_face_is_found(
    region: Literal["lips", "face"], project: Project
) -> None:
    project.decide("a/2.jpg", "keep", crop=(8, 16, 32))
    where = ["--raw", str(project.path / "raw"), "--processed", str(project.processed)]
    assert main(["split", *where, "--region", region, "--workers", "0"]) == 0
    with Ledger(project.processed / "ledger.sqlite") as ledger:
        (sample,) = list(ledger.samples("split", project.processed))
    assert (sample.key, sample.facts["crop"]) == ("a/2.jpg", [8, 16, 32, 32])
    assert sample.image.shape == (128, 128, 3)
