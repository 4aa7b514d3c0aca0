"""sources.csv: its rows survive a power cut, and later stages carry what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_pipeline import Home, picture

from pipeline.sources import NAME, Source, append, facts, read
from pipeline.trouble import Trouble

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(st.lists(st.builds(Source, *[TEXT] * len(Source._fields)), max_size=4))
def test_what_is_written_is_read_with_its_white_space_folded(
    tmp_path_factory: pytest.TempPathFactory, sources: list[Source]
) -> None:
    folder = tmp_path_factory.mktemp("label")
    append(folder, sources)
    folded = [Source(*(" ".join(value.split()) for value in source)) for source in sources]
    assert read(folder) == folded


@pytest.mark.parametrize("title", ["'@", "''=1", "=1", "'", "@'"])
def test_quotes_and_formulas_come_back_as_they_were(title: str, tmp_path: Path) -> None:
    append(tmp_path, [Source("a.jpg", title=title)])
    assert read(tmp_path) == [Source("a.jpg", title=title)]


def test_a_row_cut_in_half_is_replaced_by_the_next(tmp_path: Path) -> None:
    append(tmp_path, [Source("a.jpg")])
    with open(tmp_path / NAME, "ab") as table:
        table.write(b'b.jpg,"half a ro')
    append(tmp_path, [Source("c.jpg")])
    assert read(tmp_path) == [Source("a.jpg"), Source("c.jpg")]


def test_a_table_of_the_user_s_own_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("name,year\nx,1999\n")
    assert facts(tmp_path) == {}
    with pytest.raises(Trouble, match="has other columns than file, address"):
        read(tmp_path)


def test_stages_carry_where_a_picture_comes_from(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in range(2):
        home.put(f"a/{number}.jpg", picture(number))
    append(tmp_path / "raw/a", [Source("0.jpg", creator="Anna", group="film", split="val")])
    home.run()
    carried = dict(home.rows("key, facts", "stage = 'mark'"))
    assert '"given_group":"film","given_split":"val"' in carried["a/0.jpg"]
    assert '"origin":{"creator":"Anna"}' in carried["a/0.jpg"]
    assert "origin" not in carried["a/1.jpg"]


def test_a_changed_row_redoes_its_picture_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in range(2):
        home.put(f"a/{number}.jpg", picture(number))
    home.run()
    home.calls()
    append(tmp_path / "raw/a", [Source("0.jpg", creator="Anna")])
    home.run()
    assert {call.split()[1] for call in home.calls()} == {"a/0.jpg"}
