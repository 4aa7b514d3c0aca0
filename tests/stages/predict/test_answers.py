"""The rows of predictions.csv and predictions.jsonl."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pipeline.sample import Facts
from stages.predict.answers import Answer, Tables

LABELS = ("none", "=cmd()")
FACTS: Facts = {
    "face": [1, 2, 3, 4],
    "detector": "haar",
    "crop": [5, 6, 7, 7],
    "landmarks": [[0, 1]] * 68,
}
SMILE = Answer("a.jpg", LABELS, (0.25, 0.75), facts=FACTS)
NOBODY = Answer("film.mp4", LABELS, reason="no_face", frame=3, time=0.1)


def written(folder: Path, *answers: Answer) -> tuple[list[list[str]], list[dict[str, object]]]:
    with Tables(folder, LABELS, csv=True, jsonl=True) as tables:
        for answer in answers:
            tables.add([answer])
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    text = (folder / "predictions.jsonl").read_text(encoding="utf-8")
    return rows, [json.loads(line) for line in text.split("\n")[:-1]]


def test_a_row_has_label_shares_and_boxes_and_one_without_an_answer_its_reason(
    tmp_path: Path,
) -> None:
    header, smile, nobody = written(tmp_path, SMILE, NOBODY)[0]
    assert header[:6] == ["file", "frame", "time", "label", "p_none", "p_=cmd()"]
    assert " ".join(header[6:]) == "face_x face_y face_w face_h x y width height reason"
    boxes = ["1", "2", "3", "4", "5", "6", "7", "7"]
    assert smile == ["a.jpg", "", "", "'=cmd()", "0.2500", "0.7500", *boxes, ""]
    assert nobody == ["film.mp4", "3", "0.100", "", "", "", *[""] * 8, "no_face"]


def test_a_line_has_it_all(tmp_path: Path) -> None:
    smile, nobody = written(tmp_path, SMILE, NOBODY)[1]
    assert smile["probabilities"] == {"none": 0.25, "=cmd()": 0.75}
    assert (smile["label"], smile["reason"], smile["landmarks"]) == (
        "=cmd()",
        None,
        FACTS["landmarks"],
    )
    assert (nobody["frame"], nobody["time"], nobody["label"]) == (3, 0.1, None)
    assert (smile["detector"], nobody["detector"]) == ("haar", None)
    assert (smile["lips"], nobody["lips"]) == (None, None)
    assert "frame" not in smile


@pytest.mark.parametrize(
    "name", ["=1+1.jpg", "+x", "-x", "@x", "\tx", 'a,b\n"c".jpg', "微笑\u2028.jpg", "odd\udcff.jpg"]
)
def test_no_name_breaks_a_table_or_is_a_formula(tmp_path: Path, name: str) -> None:
    rows, lines = written(tmp_path, Answer(name, LABELS, reason="empty"))
    assert len(rows) == 2 and len(lines) == 1
    assert lines[0]["file"] == name
    assert not rows[1][0].startswith(("=", "+", "-", "@", "\t"))
    assert rows[1][0].removeprefix("'") == name.replace("\udcff", "\\udcff")


def test_rows_are_on_disk_before_the_next_ones_come(tmp_path: Path) -> None:
    with Tables(tmp_path, LABELS, csv=True, jsonl=False) as tables:
        tables.add([SMILE])
        assert "a.jpg" in (tmp_path / ".new-predictions.csv").read_text(encoding="utf-8")


def test_an_interruption_keeps_the_rows_so_far_and_a_failed_start_the_table_of_before(
    tmp_path: Path,
) -> None:
    table = tmp_path / "predictions.csv"
    table.write_text("of before")
    with pytest.raises(OSError, match="no camera"), Tables(tmp_path, LABELS, True, True):
        raise OSError("no camera")
    assert [path.name for path in tmp_path.iterdir()] == [table.name]
    assert table.read_text() == "of before"
    with pytest.raises(KeyboardInterrupt), Tables(tmp_path, LABELS, True, True) as tables:
        tables.add([SMILE])
        raise KeyboardInterrupt
    assert table.read_text(encoding="utf-8").count("\n") == 2


def test_the_text_for_a_person() -> None:
    assert (SMILE.text, NOBODY.text) == ("=cmd() 75%", "no_face")
