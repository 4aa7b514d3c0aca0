"""Settings: defaults < pyproject's table < the command line, and mistakes are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from pipeline.settings import Common, Settings, near_misses, read_table, resolve
from pipeline.trouble import Usage


@dataclass(frozen=True)
class Lips:
    """Cut out the mouth."""

    scale: float = 1.5
    size: int = 128
    way: Literal["fast", "exact"] = "fast"
    mask: Path = Path("mask.png")
    log: Path | None = None

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError("scale must be over 0")


@dataclass(frozen=True)
class Length:
    """How long."""

    epochs: int = 20

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError("epochs must be 1 or more")


TWENTY = Length()


@dataclass(frozen=True)
class Train:
    """Learn."""

    preset_field: ClassVar[str] = "recipe"
    stage_flags: ClassVar[dict[str, str]] = {"size": "lips"}
    recipe: str = "default"
    start: Path | None = None
    length: Length = TWENTY
    size: int = 128

    @classmethod
    def preset(cls, recipe: str | None) -> Train:
        return cls(recipe or "default", None, Length(300 if recipe == "classic" else 20))


def chosen(command: str, *argv: str, table: dict[str, Any] | None = None) -> Settings:
    kind = {"lips": Lips, "train": Train}[command]
    return resolve(command, kind, {"lips": Lips}, argv, table or {})


def write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_defaults_hold_where_nothing_is_said() -> None:
    settings = chosen("lips")
    assert settings.own == Lips() and settings.stages == {"lips": Lips()}
    assert settings.common == Common() and settings.common.raw == Path("raw")


def test_the_table_beats_the_default_and_the_flag_beats_the_table() -> None:
    table = {"workers": 3, "lips": {"scale": 1.8, "size": 64}}
    assert chosen("lips", table=table).own == Lips(1.8, 64)
    settings = chosen("lips", "--scale", "2.5", "--workers", "1", table=table)
    assert settings.own == Lips(2.5, 64) and settings.common.workers == 1
    assert chosen("lips", table=table).common.workers == 3


def test_a_stage_s_own_flags_are_plain_and_those_of_others_carry_its_name() -> None:
    settings = chosen("train", "--epochs", "3", "--lips.scale", "1.8")
    assert settings.own == Train(length=Length(3)) and settings.stages["lips"] == Lips(1.8)
    with pytest.raises(SystemExit):
        chosen("train", "--scale", "1.8")


def test_a_stage_run_for_itself_has_the_settings_it_has_on_the_way() -> None:
    settings = chosen("lips", "--scale", "1.8")
    assert settings.stages["lips"] == settings.own == Lips(1.8)


@pytest.mark.parametrize("argv", [["--recipe", "classic"], ["--recipe=classic"]])
def test_a_recipe_sets_the_defaults_that_flags_then_change(argv: list[str]) -> None:
    assert chosen("train", *argv).own == Train.preset("classic")
    assert chosen("train", *argv, "--epochs", "5").own == Train("classic", None, Length(5))
    table: dict[str, Any] = {"train": {"recipe": "classic"}}
    assert chosen("train", "--workers", "1", table=table).own == Train.preset("classic")
    table = {"train": {"recipe": "default", "epochs": 7}}
    assert chosen("train", *argv, table=table).own.length.epochs == 7


def test_a_command_with_recipes_needs_no_flag() -> None:
    assert chosen("train").own == Train()


def test_a_group_s_fields_are_plain_settings_in_the_table_too() -> None:
    own = chosen("train", table={"train": {"epochs": 7, "start": "weights.pth"}}).own
    assert own == Train("default", Path("weights.pth"), Length(7))
    with pytest.raises(Usage, match=r"tool\.pipeline\.train: epochs must be 1 or more"):
        chosen("train", table={"train": {"epochs": 0}})
    with pytest.raises(Usage, match=r"train\.epoch is unknown; did you mean epochs\?"):
        chosen("train", table={"train": {"epoch": 7}})
    with pytest.raises(Usage, match=r"train\.start: 7 is not like None"):
        chosen("train", table={"train": {"start": 7}})


def test_whole_numbers_and_text_become_what_the_field_wants() -> None:
    own = chosen("lips", table={"lips": {"scale": 2, "mask": "m.png", "log": "l.txt"}}).own
    assert own == Lips(2.0, mask=Path("m.png"), log=Path("l.txt")) and type(own.scale) is float


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"scle": 2.0}, r"tool\.pipeline\.lips\.scle is unknown; did you mean scale\?"),
        ({"xyz": 1}, r"lips\.xyz is unknown; known: scale, size, way, mask, log"),
        ({"scale": "big"}, r"tool\.pipeline\.lips\.scale: 'big' is not like 1\.5"),
        ({"size": 1.5}, r"lips\.size: 1\.5 is not like 128"),
        ({"size": True}, r"lips\.size: True is not like 128"),
        ({"way": "slow"}, r"lips\.way: 'slow' is not one of 'fast', 'exact'"),
        ({"scale": -1.0}, r"tool\.pipeline\.lips: scale must be over 0"),
        (3, r"tool\.pipeline\.lips"),
    ],
)
def test_a_mistake_in_the_table_is_named(section: Any, message: str) -> None:
    with pytest.raises(Usage, match=message):
        chosen("lips", table={"lips": section})


def test_a_common_setting_written_as_a_section_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pipeline.workers]\nnumber = 3\n")
    with pytest.raises(Usage, match="workers is unknown"):
        read_table(tmp_path, ["lips", "train"])


def test_bad_values_on_the_command_line_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Usage, match="scale must be over 0"):
        chosen("lips", "--scale", "0")
    with pytest.raises(SystemExit) as end:
        chosen("train", "--lips.scale", "0")
    assert end.value.code == 2 and "scale must be over 0" in capsys.readouterr().err
    with pytest.raises(Usage, match="workers must be 0 or more"):
        chosen("train", "--workers", "-1")
    for argv in (["--epochs", "many"], ["--lips.way", "slow"], ["--region", "nose"]):
        with pytest.raises(SystemExit) as end:
            chosen("train", *argv)
        assert end.value.code == 2 and argv[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raw", "processed"), [("p/raw", "p"), ("r", "r/processed"), ("x", "x"), (".", "processed")]
)
def test_raw_and_processed_must_lie_apart(raw: str, processed: str) -> None:
    with pytest.raises(Usage, match=r"must lie apart"):
        chosen("lips", "--raw", raw, "--processed", processed)


def test_a_link_does_not_hide_that_raw_and_processed_are_one(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "processed").symlink_to("raw")
    with pytest.raises(ValueError, match="must lie apart"):
        Common(raw=tmp_path / "raw", processed=tmp_path / "processed")
    assert Common(raw=tmp_path / "raw", processed=tmp_path / "raw2").workers >= 1


def test_the_table_is_read_from_the_folder_s_pyproject(tmp_path: Path) -> None:
    assert read_table(tmp_path, ["lips"]) == {}
    write(tmp_path, "[project]\nname = 'x'\n")
    assert read_table(tmp_path, ["lips"]) == {}
    write(tmp_path, "[tool.pipeline]\nworkers = 3\n[tool.pipeline.lips]\nscale = 1.8\n")
    assert read_table(tmp_path, ["lips"]) == {"workers": 3, "lips": {"scale": 1.8}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.pipeline.lisp]\nscale = 1\n", r"tool\.pipeline\.lisp is unknown; did you mean li"),
        ("[tool.pipeline]\nworker = 1\n", r"worker is unknown; did you mean workers\?"),
        ("[tool.pipeline\n", r"pyproject\.toml: .*line 1"),
        ("[tool]\npipeline = 3\n", r"tool\.pipeline"),
    ],
)
def test_a_bad_pyproject_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Usage, match=message):
        read_table(write(tmp_path, text), ["lips", "train"])


def test_near_misses_or_the_whole_choice() -> None:
    assert near_misses("fces", ["faces", "lips"]) == "did you mean faces?"
    assert near_misses("zzz", ["faces", "lips"]) == "known: faces, lips"


def test_a_command_s_short_flag_sets_the_stage_it_belongs_to() -> None:
    assert chosen("train", "--size", "64").stages["lips"].size == 64
    assert chosen("train", "--lips.size", "64").stages["lips"].size == 64
    assert chosen("train", "--size", "64", "--lips.size", "64").stages["lips"].size == 64
    assert chosen("train", table={"train": {"size": 64}}).stages["lips"].size == 64
    with pytest.raises(Usage, match=r"^--size 64 and --lips\.size 32 differ: give one of them$"):
        chosen("train", "--size", "64", "--lips.size", "32")
