"""The report: true counts, pictures behind every number, hostile names that stay text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pipeline import picture, put
from small_sets import put_divided, train

from pipeline.__main__ import main
from stages.report.gather import some, spread
from stages.report.reasons import REASONS

HOSTILE = "<script>alert(1)</script>&\"'"


def prepare(home: Path, command: str = "split", *words: str) -> str:
    where = ["--raw", str(home / "raw"), "--processed", str(home / "processed")]
    assert main([command, *where, "--region", "whole", "--workers", "0", *words]) == 0
    return str(home / "processed" / "report.html")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a small set with a hostile label, a copy and a file that is no picture."""
    home = tmp_path_factory.mktemp("report")
    for number in range(30):
        put(
            home / "raw" / ("a", HOSTILE.replace("/", ""))[number % 2] / f"{number}.jpg",
            picture(number, shape=(40, 40, 3)),
        )
    put(home / "raw/a/copy.jpg", picture(0, shape=(40, 40, 3)))
    put(home / "raw/a/notes.txt", b"no picture at all")
    prepare(home)
    return Path(prepare(home, "report")).read_text()


def test_the_funnel_has_the_counts_of_every_stage(page: str) -> None:
    rows = re.findall(r'<th scope="row">(\w+)</th><td>([\d,]+)</td><td>([\d,]+)</td>', page)
    assert rows[:3] == [("normalize", "32", "31"), ("screen", "31", "31"), ("dedupe", "31", "30")]


def test_every_reason_has_its_sentence_and_count(page: str) -> None:
    assert "<code>not_an_image</code> <b>1</b>" in page
    assert REASONS["not_an_image"] in page and "<code>duplicate</code>" in page


def test_every_number_leads_to_something_on_the_page(page: str) -> None:
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links and links <= ids


def test_a_label_without_crops_has_its_place_and_moves_no_other(tmp_path: Path) -> None:
    put(tmp_path / "raw/a/broken.jpg", b"no picture at all")
    for number in range(4):
        key = f"raw/{'bc'[number % 2]}/{number}.jpg"
        put(tmp_path / key, picture(number, shape=(40, 40, 3)))
    prepare(tmp_path)
    page = Path(prepare(tmp_path, "report")).read_text()
    links = dict(re.findall(r'<a href="#label-(\d)">(\w)</a>', page))
    headings = dict(re.findall(r'<h3 id="label-(\d)">(\w)</h3>', page))
    assert links == headings == {"1": "a", "2": "b", "3": "c"}


def test_hostile_names_stay_text(page: str) -> None:
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert "default-src 'none'" in page


def test_every_picture_has_a_text_in_its_place(page: str) -> None:
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", page))


def test_the_same_record_gives_the_same_page(page: str, tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path / f"raw/{'ab'[number % 2]}/{number}.jpg", picture(number, shape=(40, 40, 3)))
    prepare(tmp_path)
    first = Path(prepare(tmp_path, "report")).read_bytes()
    assert Path(prepare(tmp_path, "report")).read_bytes() == first


def test_what_changed_since_the_last_report_is_told(tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path / f"raw/{'ab'[number % 2]}/{number}.jpg", picture(number, shape=(40, 40, 3)))
    prepare(tmp_path)
    prepare(tmp_path, "report")
    put(tmp_path / "raw/a/new.jpg", picture(99, shape=(40, 40, 3)))
    prepare(tmp_path)
    assert "split kept 12 → 13" in Path(prepare(tmp_path, "report")).read_text()


def test_a_trained_model_is_shown_with_its_mistakes_and_intervals(tmp_path: Path) -> None:
    put_divided(tmp_path / "raw", {"a": 24, "b": 24}, {"a": 8, "b": 8})
    assert train(tmp_path, "--epochs", "2") == 0
    page = Path(prepare(tmp_path, "report")).read_text()
    assert 'id="model"' in page and "95% interval" in page
    assert page.count('<svg role="img"') >= 3


def test_a_folder_without_a_record_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--raw", str(tmp_path), "--processed", str(tmp_path.parent / "none")]
    assert main(["report", *where]) == 1
    assert "holds no record yet: run `make split` first" in capsys.readouterr().err


def test_spread_takes_evenly_and_no_more_than_asked() -> None:
    assert spread(range(100), 4) == [0, 25, 50, 75]
    assert spread([1, 2], 4) == [1, 2]


@given(st.integers(0, 200), st.integers(1, 60))
def test_some_of_a_stream_are_those_of_the_list(count: int, most: int) -> None:
    found = some(iter(range(count)), count, most)
    assert found == spread(range(count), most) and len(found) == min(count, most)
