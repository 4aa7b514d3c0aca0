"""The card of a run: what hubs show, whatever labels and settings hold."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.model import card as model_card
from stages.model.description import Description
from stages.model.weights import save_model
from stages.training.metrics import measure
from stages.training.recipes import RECIPES, Recipe

LABELS = ["none", "a|b *c* <i>"]
DESCRIPTION = Description(
    labels=LABELS,
    region="lips",
    stages={"lips": {"scale": 1.5}},
    recipe=Recipe(weights="/home/someone/secret/backbone.safetensors"),
    side=128,
    seed=5,
    data="0f" * 16,
    numbers={},
    versions={"torch": "2.0"},
)
COUNTS = {"train": {"none": 4287, LABELS[1]: 9}, "val": {"none": 2}}


def figures() -> dict[str, Any]:
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [3.0, 0.0]])
    return asdict(measure(logits, torch.tensor([0, 0, 0]), LABELS))


def card(**changes: Any) -> str:
    return model_card.card(replace(DESCRIPTION, **changes), {"val": figures()}, COUNTS)


def rows(text: str) -> list[list[str]]:
    """The cells of every table's row; a marked bar ends none."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.replace("\\|", "/").strip("| ").split(" | ") for line in lines]


def test_counts_and_figures_stand_in_tables() -> None:
    text = card()
    spelled = "a/b \\*c\\* &lt;i&gt;"
    assert ["none", "4,287", "2"] in rows(text) and [spelled, "9", "0"] in rows(text)
    assert "Accuracy 66.7% (95%: 20.8% to 93.9%) of 3 pictures" in text
    assert ["none", "1.000", "0.667", "20.8% to 93.9%"] in rows(text)
    assert [spelled, "0.000", "0.000", "no pictures"] in rows(text)


def test_every_table_has_as_many_cells_in_each_row() -> None:
    for table in card().split("\n\n"):
        widths = {len(row) for row in rows(table)}
        assert len(widths) <= 1


def test_nothing_of_a_label_is_taken_as_markup_or_of_a_path_told() -> None:
    text = card()
    assert "<i>" not in text and "*c*" not in text.replace("\\*c\\*", "")
    assert "someone" not in text and "backbone.safetensors" in text.replace("\\", "")


def test_the_card_states_the_temperature_and_what_validation_chose() -> None:
    text = card(temperature=0.8125)
    assert "Its probabilities are softmax(logits / 0.8125)." in text
    assert "It chose the\n  temperature," in text and "chose the epoch" not in text
    text = card(recipe=RECIPES["classic"])
    assert "softmax(logits / 1)" in text and "Validation chose the epoch" in text


def test_the_front_matter_is_what_hubs_read() -> None:
    _, front, rest = card().split("---\n", 2)
    assert "pipeline_tag: image-classification\n" in front and "license: other\n" in front
    assert all(label not in front for label in LABELS)
    assert rest.lstrip().startswith("# Expression classifier\n")


@pytest.mark.parametrize(
    ("stages", "written"),
    [
        ({"lips": {}}, "**excludes commercial use**"),
        ({"lips": {"landmarks": "dlib"}}, "**excludes commercial use**"),
        ({"lips": {"landmarks": "mesh"}}, "which may be used commercially"),
        ({"face_crop": {}}, None),
    ],
)
def test_the_card_says_what_the_landmark_models_licence_allows(
    stages: dict[str, dict[str, Any]], written: str | None
) -> None:
    text = card(stages=stages)
    for sentence in ("**excludes commercial use**", "which may be used commercially"):
        assert (sentence in text) == (sentence == written)


def test_a_runs_folder_gets_its_card(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    save_model(tmp_path / "best", network, DESCRIPTION)
    (tmp_path / "evaluation.json").write_text(json.dumps({"val": figures()}))
    model_card.write(tmp_path, COUNTS)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == card()
    model_card.write(tmp_path, COUNTS, {"strangers, all": figures()})
    assert "## Figures on strangers, all\n" in (tmp_path / "README.md").read_text(encoding="utf-8")
