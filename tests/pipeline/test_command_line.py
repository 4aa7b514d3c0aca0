"""The command line as a person meets it: exit codes, messages, status, and a run that is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_pipeline import Home, picture, put

from pipeline.__main__ import COMMAND_KINDS, STAGE_KINDS, main

WHOLE = ("--region", "whole", "--workers", "0")  # no face model is needed
COMMAND = [sys.executable, "-m", "pipeline"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A working folder with three pictures and a text file below raw/."""
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path)
    for number, label in enumerate(("none", "smile", "smile")):
        home.put(f"{label}/{number}.jpg", large(number))
    home.put("smile/notes.txt", b"not a picture")
    return home


def large(seed: int) -> bytes:
    return picture(seed, shape=(40, 48, 3))


def stages_now(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["status", "--json", *WHOLE]) == 0
    output = json.loads(capsys.readouterr().out)
    assert list(output) == ["stages", "labels"]
    return list(output["stages"])


def test_status_before_during_and_after(here: Home, capsys: pytest.CaptureFixture[str]) -> None:
    before = stages_now(capsys)
    names = ["normalize", "screen", "dedupe", "split"]
    assert [entry["name"] for entry in before] == names
    assert before[0] == {
        "name": "normalize",
        "in": 4,
        "kept": 0,
        "rejected": {},
        "error": 0,
        "up_to_date": False,
    }
    assert not (here.path / "processed").exists()  # looking leaves no trace
    assert main(["split", *WHOLE]) == 0
    after = stages_now(capsys)
    assert after[0]["rejected"] == {"not_an_image": 1}
    assert [(entry["in"], entry["kept"], entry["error"]) for entry in after] == [(4, 3, 0)] + [
        (3, 3, 0)
    ] * 3
    assert all(entry["up_to_date"] for entry in after)
    here.put("smile/9.jpg", large(9))
    now = stages_now(capsys)
    assert now[0]["in"] == 5 and not any(entry["up_to_date"] for entry in now)


def test_status_for_a_person_is_a_line_a_stage_and_a_line_a_reason(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["screen", *WHOLE])
    capsys.readouterr()
    assert main(["status", *WHOLE]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["stage", "in", "kept", "rejected", "error", "up", "to", "date"]
    assert lines[1:3] == [["normalize", "4", "3", "1", "0", "yes"], ["1", "not_an_image"]]
    assert lines[3] == ["screen", "3", "3", "0", "0", "yes"]
    assert lines[4] == ["dedupe", "3", "0", "0", "0", "no"]


def test_counts_by_label_are_shown_by_split_and_status(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.path / "raw" / "empty").mkdir()
    here.put("broken/x.jpg", b"not a picture")
    assert main(["screen", *WHOLE]) == 0
    assert "label" not in capsys.readouterr().out  # no split, no counts
    assert main(["split", *WHOLE]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [
        ["label", "raw", "crops", "train", "val"],
        ["broken", "1", "0", "0", "0"],
        ["empty", "0", "0", "0", "0"],
        ["none", "1", "1", "1", "0"],
        ["smile", "3", "2", "1", "1"],
    ]
    assert [line.split() for line in lines[-8:-3]] == table
    assert lines[-3:] == [
        "split: empty in the raw folder: empty",
        "split: no picture of broken was kept; status shows the reasons",
        "split: no val picture of none; ImageFolder will number the labels of val differently",
    ]
    assert main(["status", "--json", *WHOLE]) == 0
    labels = json.loads(capsys.readouterr().out)["labels"]
    assert labels["smile"] == {"raw": 3, "crops": 2, "train": 1, "val": 1}
    assert labels["empty"] == {"raw": 0, "crops": 0, "train": 0, "val": 0}
    assert main(["status", *WHOLE]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[-5:]] == table


def test_test_pictures_are_counted_where_there_are_some(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, side in enumerate(("train", "train", "val", "test")):
        put(here.path / "divided" / side / "none" / f"{number}.jpg", large(number))
    where = ("--raw", "divided", *WHOLE)
    assert main(["split", *where]) == 0
    capsys.readouterr()
    assert main(["status", "--json", *where]) == 0
    labels = json.loads(capsys.readouterr().out)["labels"]
    assert labels == {"none": {"raw": 4, "crops": 4, "train": 2, "val": 1, "test": 1}}


def test_a_stage_runs_those_before_it_and_none_after(here: Home) -> None:
    assert main(["dedupe", *WHOLE]) == 0
    made = {path.name for path in (here.path / "processed").iterdir() if path.is_dir()}
    assert made == {"normalized", "screened", "unique"}


def test_errors_give_code_1_until_they_are_gone(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = put(here.path / "processed" / "normalized" / "smile", b"a file in the way")
    assert main(["screen", *WHOLE]) == 1
    streams = capsys.readouterr()
    assert "2 in error" in streams.err and "errors.log" in streams.err
    assert "normalize: 4 in, 1 kept, 1 rejected (not_an_image 1), 2 error" in streams.out
    blocked.unlink()
    assert main(["screen", *WHOLE]) == 0
    assert "error" not in capsys.readouterr().out


def test_changed_flags_and_a_changed_pyproject_are_announced(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["screen", *WHOLE])
    capsys.readouterr()
    assert main(["screen", "--min-side", "41", *WHOLE]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == [
        "screen.min_side 32 → 41: 3 pictures will be redone",
        "screen: 3 in, 0 kept, 3 rejected (too_small 3)",
    ]
    put(here.path / "pyproject.toml", b"[tool.pipeline.screen]\nmin_side = 40\n")
    assert main(["dedupe", *WHOLE]) == 0
    assert "screen.min_side 41 → 40: 3 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["screeen"], "'screeen' is no stage and no command; did you mean screen?"),
        (["zzzzzz"], "known: normalize, screen, dedupe"),
        (["--workers", "0"], "'--workers' is no stage and no command"),
        (["screen", "--workers", "-1"], "workers must be 0 or more"),
        (["screen", "--address", "auto"], "give --executor ray too"),
        (["screen", "--raw", "."], "must lie apart"),
        (["screen", "--raw", "nowhere"], "nowhere is not a folder"),
        (["status", "--raw", "nowhere"], "nowhere is not a folder"),
        (["screen", "--raw", "empty"], "empty holds no files"),
        (["split", "--val", "1.5"], "val must be 0 or more and under 1"),
        (["train", "--recipe", "clasic"], "did you mean classic?"),
    ],
)
def test_wrong_usage_gives_code_2_and_the_way_out(
    here: Home, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    (here.path / "empty").mkdir()
    assert main(argv) == 2
    streams = capsys.readouterr()
    assert message in streams.err and streams.out == ""


@pytest.mark.parametrize(
    ("also", "message"),
    [
        ("Smile/9.jpg", "the labels 'Smile' and 'smile', which look the same"),
        ("smile /9.jpg", "the labels 'smile' and 'smile ', which look the same"),
        ("train/none/9.jpg", "the folders train, which mean a split, beside none, smile"),
    ],
)
def test_labels_that_nobody_can_tell_apart_are_refused_before_any_work(
    here: Home, capsys: pytest.CaptureFixture[str], also: str, message: str
) -> None:
    here.put(also, large(9))
    assert main(["split", *WHOLE]) == 2
    streams = capsys.readouterr()
    assert message in streams.err and streams.out == ""
    assert not list((here.path / "processed").rglob("*.jpg"))


def test_what_is_odd_about_the_raw_folder_is_told_at_the_end(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    here.put("smile/@eaDir/9.jpg", large(9))
    put(here.path / "elsewhere" / "8.jpg", large(8))
    (here.path / "raw" / "grin").symlink_to(here.path / "elsewhere")
    assert main(["screen", *WHOLE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "(bad_link 1, not_an_image 1)" in lines[0]
    assert lines[-2] == "raw: 1 file that programs leave behind was left out (@eaDir 1)"
    assert lines[-1].startswith("raw: 1 link leads out of the folder and is not followed (first: g")
    assert main(["screen", "--follow-links", *WHOLE]) == 0
    assert "screen: 4 in, 4 kept" in capsys.readouterr().out
    assert len(list((here.path / "processed" / "screened" / "grin").iterdir())) == 1


def test_a_name_that_would_drive_the_terminal_is_spelled_out(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["screen", "--raw", "\x1b]0;mine\x07\u202e"]) == 2
    assert capsys.readouterr().err.startswith("\\x1b]0;mine\\x07\\u202e is not a folder")


def test_an_unknown_flag_gives_code_2_and_its_near_misses(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["screen", "--max-aspct", "3"])
    assert end.value.code == 2
    message = capsys.readouterr().err
    assert "--max-aspct" in message and "--max-aspect" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.pipeline.screen]\nmin_sid = 3", "screen.min_sid is unknown; did you mean min_side"),
        ("[tool.pipeline.scren]\nmin_side = 3", "tool.pipeline.scren is unknown; did you mean scr"),
        ("[tool.pipeline]\nworkrs = 3", "tool.pipeline.workrs is unknown; did you mean workers?"),
        ("[tool.pipeline.screen]\nmin_side = 'x'", "screen.min_side: 'x' is not like 32"),
    ],
)
def test_a_mistake_in_pyproject_gives_code_2(
    here: Home, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    put(here.path / "pyproject.toml", text.encode())
    assert main(["normalize", *WHOLE]) == 2
    assert message in capsys.readouterr().err and not (here.path / "processed").exists()


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_names_every_stage_and_command(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert main(argv) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert names == [*STAGE_KINDS, *COMMAND_KINDS]


def test_help_of_a_stage_lists_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["screen", "--help"])
    assert end.value.code == 0
    output = capsys.readouterr().out
    assert all(flag in output for flag in ("--max-aspect", "--lips.scale", "--raw", "--workers"))


def test_a_damaged_record_gives_code_1_and_the_way_out(
    here: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    put(here.path / "processed" / "ledger.sqlite", b"nothing of the kind" * 99)
    assert main(["status"]) == main(["screen", *WHOLE]) == 1
    assert capsys.readouterr().err.count("move it away and run the same command again") == 2


def test_the_real_command_says_the_same(here: Home) -> None:
    done = subprocess.run([*COMMAND, "split", *WHOLE], capture_output=True, text=True)
    assert done.returncode == 0
    assert "split: 3 in, 3 kept, 0 rejected" in done.stdout.splitlines()
    wrong = subprocess.run([*COMMAND, "splt"], capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.endswith("did you mean split?\n")


def test_status_loads_neither_torch_nor_opencv(here: Home) -> None:
    main(["screen", *WHOLE])  # so that there is something to tell
    code = (
        "import sys\nfrom pipeline.__main__ import main\ncode = main(['status', '--json'])\n"
        "print(sorted({'torch', 'torchvision', 'cv2', 'dlib'} & set(sys.modules)))\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 1)])
def test_a_stopped_command_goes_on_to_the_same_rows_and_bytes(
    here: Home, number: signal.Signals, code: int
) -> None:
    for seed in range(300):
        here.put(f"smile/more{seed}.jpg", picture(seed, shape=(160, 160, 3)))
    command = [*COMMAND, "split", *WHOLE]
    made = here.path / "processed" / "normalized"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while running.poll() is None and len(list(made.glob("smile/*"))) < 20:
            time.sleep(0.002)
        running.send_signal(number)
        _, said = running.communicate()
    assert running.returncode == code and len(list(made.glob("smile/*"))) < 302
    assert number != signal.SIGINT or b"interrupted: run the same command again" in said
    assert main(["split", *WHOLE]) == 0
    rows, tree = here.rows(), here.tree()
    (here.path / "processed").rename(here.path / "aside")
    assert main(["split", *WHOLE]) == 0
    assert (here.rows(), here.tree()) == (rows, tree)
