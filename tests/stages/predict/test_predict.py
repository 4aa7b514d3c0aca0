"""Prediction: the same crops as in training, a row for everything, whatever it is given."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from small_faces import expression, home, lines, model, predict, rows, side_by_side

from pipeline.__main__ import main
from pipeline.ledger import Ledger
from pipeline.pictures import decode, encode
from pipeline.sample import Image
from stages.commands.predict import Predict
from stages.demo.portrait import POSES
from stages.predict.chain import Chain, Crop
from stages.predict.predictor import Predictor

LABELS = sorted(POSES)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(model())


@pytest.fixture(scope="module")
def everyone() -> Predictor:
    return Predictor(model(), faces="all")


def close_up(label: str) -> Image:
    return np.ascontiguousarray(expression(label)[20:270, 100:350])


def test_three_lines_give_the_label_of_an_array(predictor: Predictor) -> None:
    for label in POSES:
        (answer,) = predictor(expression(label))
        assert answer.label == label
        assert sum(answer.shares) == pytest.approx(1, abs=1e-5)
        assert len(answer.facts["landmarks"]) == 68


def test_a_raw_training_picture_gets_the_shares_of_its_stored_crop(predictor: Predictor) -> None:
    processed = home() / "processed"
    with Ledger(processed / "ledger.sqlite") as ledger:
        stored = list(ledger.samples("split", processed))
    for sample in stored:
        crop = decode(sample.file.read_bytes())
        (of_crop,) = predictor.answers([("", Crop(sample.facts, crop))])
        (of_raw,) = predictor(predictor.read((home() / "raw" / sample.key).read_bytes()))
        assert of_raw.facts["crop"] == sample.facts["crop"]
        assert of_raw.facts["face"] == sample.facts["face"]
        assert np.abs(np.subtract(of_raw.shares, of_crop.shares)).max() < 0.03  # a JPEG apart
    assert len(stored) > 50


def test_threads_give_the_same_answers_as_calls_in_a_row(predictor: Predictor) -> None:
    images = [expression(label) for label in POSES] * 5
    serial = [predictor(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(predictor, images)) == serial


def test_all_faces_are_answered_for_the_largest_first(everyone: Predictor) -> None:
    small = np.asarray(cv2.resize(close_up("openmouth"), (190, 190)), np.uint8)
    beside = np.pad(small, ((0, 60), (0, 0), (0, 0)), mode="edge")
    answers = everyone(side_by_side([close_up("smile"), beside]))
    assert [answer.label for answer in answers] == ["smile", "openmouth"]
    first, second = (answer.facts["face"] for answer in answers)
    assert first[2] > second[2] and second[0] >= 250


def test_the_largest_face_alone_is_the_default(predictor: Predictor) -> None:
    both = side_by_side([close_up("smile"), close_up("openmouth")])
    assert len(predictor(both)) == 1


def test_a_picture_without_a_face_says_so(predictor: Predictor) -> None:
    (answer,) = predictor(np.full((200, 300, 3), 128, np.uint8))
    assert (answer.label, answer.reason, answer.shares) == ("", "no_face", ())


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_picture_is_refused_with_its_shape(
    predictor: Predictor, image: Image
) -> None:
    with pytest.raises(ValueError, match="a picture is H×W×3 uint8"):
        predictor(image)


def test_a_folder_of_any_depth_has_a_row_for_each_file(tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    (folder / "deep" / "deeper").mkdir(parents=True)
    for label in POSES:
        (folder / "deep" / f"{label}.jpg").write_bytes(encode(expression(label)))
    (folder / "deep" / "deeper" / "wall.png").write_bytes(encode(np.full((99, 99, 3), 9, np.uint8)))
    (folder / "note.mp4").write_text("a text, whatever its name says\n" * 20)
    os.mkfifo(folder / "pipe.jpg")
    found = predict(output, "--input", folder, "--workers", 2)
    assert {row["file"]: row["label"] or row["reason"] for row in found} == {
        **{f"deep/{label}.jpg": label for label in POSES},
        "deep/deeper/wall.png": "no_face",
        "note.mp4": "not_an_image",
        "pipe.jpg": "not_a_file",
    }
    assert [row["file"] for row in found] == sorted(row["file"] for row in found)
    drawn = sorted(path.name.rpartition("-")[0] for path in output.glob("*.jpg"))
    assert drawn == sorted([*POSES, "wall"])
    assert {line["file"]: line["label"] for line in lines(output)} == {
        row["file"]: row["label"] or None for row in found
    }


def test_the_picture_drawn_has_the_crop_s_box_and_is_otherwise_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(expression("smile"), quality=95))
    (row,) = predict(tmp_path / "out", "--input", tmp_path / "a.jpg")
    drawn = decode(next((tmp_path / "out").glob("*.jpg")).read_bytes())
    x, y, side = (int(row[name]) for name in ("x", "y", "width"))
    assert np.abs(drawn[y + side, x : x + side].astype(int) - (0, 230, 118)).mean() < 40
    below = np.abs(drawn[y + side + 9 :].astype(int) - expression("smile")[y + side + 9 :])
    assert below.mean() < 4
    lips = np.s_[y + side // 6 : y + side * 5 // 6, x + side // 6 : x + side * 5 // 6]
    assert np.abs(drawn[lips].astype(int) - expression("smile")[lips]).mean() < 6


def test_only_the_wanted_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(expression("smile")))
    predict(tmp_path / "out", "--input", tmp_path / "a.jpg", "--no-draw", "--no-jsonl")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]


def test_a_picture_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_in = io.TextIOWrapper(io.BytesIO(encode(expression("pouting"))))
    monkeypatch.setattr(sys, "stdin", bytes_in)
    (row,) = predict(tmp_path, "--input", "-")
    assert (row["file"], row["label"]) == ("standard input", "pouting")


def test_empty_standard_input_has_a_row_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    (row,) = predict(tmp_path, "--input", "-", code=1)
    assert row["reason"] == "empty"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ([], 2, "give --input"),
        (["--input", "nowhere.jpg"], 2, "nowhere.jpg: no such picture or folder"),
        (["--input", "no*where"], 2, "no such picture or folder"),
        (["--input", "n" * 5000], 2, "no such picture or folder"),
        (["--files-from", "nowhere.txt"], 2, "nowhere.txt cannot be read"),
        (["--input", "Makefile", "--model", "nowhere"], 1, "no such model"),
        (["--input", "Makefile", "--show"], 2, "there is no display"),
        (["--camera", "97"], 1, "camera 97 cannot be opened"),
        (["--stream", "rtsp://127.0.0.1:9/none"], 1, "cannot be opened as a video"),
        (["--detect-every", "0", "--input", "Makefile"], 2, "--detect-every"),
        (["--smooth", "-1", "--input", "Makefile"], 2, "--smooth"),
        (["--input", "Makefile", "--camera", "0"], 2, "give only one of --input"),
    ],
)
def test_wrong_usage_is_one_sentence_and_earlier_tables_stay(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    (tmp_path / "predictions.csv").write_text("of before")
    trained = str(model())
    capfd.readouterr()
    where = ["--model", trained, "--output", str(tmp_path), "--workers", "0"]
    assert main(["predict", *where, *flags]) == code
    errors = capfd.readouterr().err
    assert words in errors and "Traceback" not in errors and errors.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    assert (tmp_path / "predictions.csv").read_text() == "of before"


def test_results_are_never_written_into_the_raw_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    where = ["--raw", str(raw), "--output", str(raw / "out"), "--workers", "0"]
    assert main(["predict", "--input", "Makefile", *where]) == 2
    assert "lies in the raw folder" in capsys.readouterr().err and not any(raw.iterdir())


def test_a_stream_is_labelled_and_one_without_pictures_is_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server that sends from the beginning only: AVI plays so, MP4 has its index at the end."""
    folder = tmp_path / "served"
    folder.mkdir()
    for name, code in (("film.avi", "MJPG"), ("film.mp4", "mp4v")):
        kind = cv2.VideoWriter.fourcc(*code)
        writer = cv2.VideoWriter(str(folder / name), kind, 30, (512, 512))
        for _ in range(20):
            writer.write(cv2.cvtColor(expression("smile"), cv2.COLOR_RGB2BGR))
        writer.release()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        where = ["predict", "--model", str(model()), "--output", str(tmp_path), "--workers", "0"]
        assert main([*where, "--stream", f"{address}/film.avi"]) == 0
        (*_, last) = csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines())
        assert last["label"] == "smile"
        capfd.readouterr()
        assert main([*where, "--stream", f"{address}/film.mp4"]) == 1
        assert "was opened, but no picture came" in capfd.readouterr().err
        server.shutdown()


def test_a_name_that_begins_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = model().resolve()
    (tmp_path / "-smile.jpg").write_bytes(encode(expression("smile")))
    monkeypatch.chdir(tmp_path)
    where = ["--model", str(chosen), "--output", "out", "--workers", "0"]
    assert main(["predict", *where, "--input=-smile.jpg"]) == 0
    (row,) = rows(tmp_path / "out")
    assert (row["file"], row["label"]) == ("'-smile.jpg", "smile")  # no formula in a spreadsheet


def test_settings_of_another_version_are_explained(predictor: Predictor) -> None:
    description = predictor._network.description
    foreign = {**description.stages, "lips": {"colour": 3}}
    from dataclasses import replace

    from pipeline.trouble import Trouble

    with pytest.raises(Trouble, match="do not fit this version"):
        Chain.of(replace(description, stages=foreign))


def test_predict_asks_for_sensible_numbers() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Predict(detect_every=0)


def test_a_killed_run_keeps_the_rows_it_wrote(tmp_path: Path) -> None:
    """Killed by SIGKILL and by Ctrl-C, as soon as the first batch of a video is on disk."""
    from small_faces import video

    code = (
        "import os, signal, sys\nfrom stages.predict.answers import Tables\nadd = Tables.add\n"
        "def once(self, answers):\n    add(self, answers)\n"
        "    os.kill(os.getpid(), int(sys.argv.pop()))\n"
        "Tables.add = once\nfrom pipeline.__main__ import main\nsys.exit(main(sys.argv[1:-1]))\n"
    )
    for name, kept in (("9", ".new-predictions.csv"), ("2", "predictions.csv")):
        output = tmp_path / name
        words = ["predict", "--input", video(), "--model", model(), "--output", output]
        command = [sys.executable, "-c", code, *words, "--workers", "0", "--no-draw", name]
        subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, check=False)
        text = (output / kept).read_text(encoding="utf-8").splitlines()
        assert len(text) == 1 + 16
        assert all(line.count(",") == text[0].count(",") for line in text)
