"""The page of published jobs: its commands, run on small sets."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_faces import expression, put, rows

from pipeline.__main__ import main
from pipeline.pictures import encode
from stages.demo.portrait import POSES
from stages.training.recipes import RECIPES

PAGE = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")
SMALL = ["--epochs", "1", "--batch", "8", "--device", "cpu", "--split.val", "0.3"]
OFFLINE = ["--weights", "none"]
FACES = {"T0": ["none", "smile"], "T1": list(POSES), "T2": list(POSES)}
WHOLE = {"T3": 7, "T4": 5}


def commands(row: str) -> list[list[str]]:
    section = PAGE.split(f"## {row}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def make_sets(row: str) -> None:
    """Raw pictures where the page says they lie, and new ones."""
    raw = Path(row.lower(), "raw")
    if row in FACES:
        put(raw, 5)
        for label in set(POSES) - set(FACES[row]):
            shutil.rmtree(raw / label)
    for place in range(WHOLE.get(row, 0)):
        for part in (raw / f"emotion {place}", raw / "test" / f"emotion {place}"):
            part.mkdir(parents=True)
            for number in range(4):
                chance = np.random.default_rng([place, number, len(part.parts)])
                picture = chance.integers(0, 99, (48, 48, 3), dtype=np.uint8)
                picture[6 * place : 6 * place + 6] += 120
                (part / f"{number}.jpg").write_bytes(encode(picture, quality=95))
    if row == "T3":
        shutil.rmtree(raw / "test")
    Path("photos").mkdir()
    for path in ("photo.jpg", "photos/one.jpg", "photos/two.jpg"):
        Path(path).write_bytes(encode(expression("smile")))


@pytest.mark.parametrize("row", [*FACES, *WHOLE])
def test_a_row_works_from_raw_folder_to_prediction(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_sets(row)
    for words in commands(row):
        assert words[:3] == ["python", "-m", "pipeline"]
        command, flags = words[3], words[4:]
        more = SMALL + (OFFLINE if row in WHOLE else []) if command == "train" else []
        assert main([command, *flags, "--workers", "0", *more]) == 0
    processed = tmp_path / row.lower() / "processed"
    (run,) = (processed / "runs").iterdir()
    labels = json.loads((run / "labels.json").read_text(encoding="utf-8"))
    assert len(labels) == (WHOLE[row] if row in WHOLE else len(FACES[row]))
    predicted = rows(processed / "predictions")
    assert len(predicted) == (2 if row == "T2" else 1)
    assert all(one["label"] in labels for one in predicted)
    assert len(list((processed / "predictions").glob("*.jpg"))) == len(predicted)


def test_the_page_s_table_names_the_networks_and_recipes_there_are() -> None:
    told = re.findall(r"^\| (T\d) .*`(\w+)`", PAGE, re.M)
    assert [row for row, _ in told] == ["T0", "T1", "T2", "T3", "T4"]
    assert {recipe for _, recipe in told} <= RECIPES.keys()
    assert f"{RECIPES['classic'].epochs} epochs" in PAGE
