"""A model file that is missing, cut short or wrong gives one sentence and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from pipeline.context import Context
from pipeline.trouble import Trouble
from stages.commands.face_models import FetchFaceModels
from stages.face import haar_search
from stages.face import model_files as face_models
from stages.face.model_files import (
    BLAZEFACE,
    FACE_MESH,
    HAAR,
    LANDMARKS,
    PUBLISHED,
    installed,
)
from stages.face.network import Network
from stages.faces import Faces
from stages.lips import Lips

NO_CONTEXT = cast(Context, None)  # the command asks nothing of its surroundings
REAL = face_models.FOLDER


def forget() -> None:
    installed.cache_clear()
    haar_search._loaded.__dict__.clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of face_models/."""
    place = tmp_path / "face_models"
    place.mkdir()
    monkeypatch.setattr(face_models, "FOLDER", place)
    forget()
    yield place
    forget()


@pytest.fixture
def real() -> dict[str, Path]:
    """The installed models by name."""
    if not all((REAL / name).is_file() for name in PUBLISHED):
        pytest.skip("needs the face models, which `make setup` fetches")
    return {name: REAL / name for name in PUBLISHED}


def fetch(landmarks: object, blazeface: object, mesh: object) -> int:
    return FetchFaceModels(str(landmarks), str(blazeface), str(mesh)).run(NO_CONTEXT)


def haar() -> bytes:
    return (Path(cv2.data.haarcascades) / HAAR).read_bytes()


@pytest.mark.parametrize("stage", [Faces(), Lips()])
def test_a_missing_model_is_named_with_the_way_out(stage: Faces | Lips, folder: Path) -> None:
    name = HAAR if isinstance(stage, Faces) else LANDMARKS
    with pytest.raises(Trouble) as caught:
        stage.models()
    assert str(caught.value) == f"{folder / name} is missing: run `make setup`, which fetches it"


def test_a_model_cut_short_is_named_with_its_size(folder: Path) -> None:
    (folder / LANDMARKS).write_bytes(bytes(1_234_567))
    with pytest.raises(Trouble) as caught:
        Lips().models()
    assert str(caught.value) == (
        f"{folder / LANDMARKS} is damaged (1,234,567 bytes): delete it and run `make setup`"
    )


@pytest.mark.parametrize("name", [HAAR, LANDMARKS])
def test_an_empty_model_is_damaged(name: str, folder: Path) -> None:
    (folder / name).touch()
    with pytest.raises(Trouble, match=r"is damaged \(0 bytes\)"):
        installed(name)


def test_a_model_that_was_mended_is_found(folder: Path) -> None:
    with pytest.raises(Trouble):
        installed(HAAR)
    (folder / HAAR).write_bytes(haar())
    assert installed(HAAR) == folder / HAAR


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(haar()[: len(haar()) // 2], id="cut at half"),
        pytest.param(b"<html><body>404</body></html>", id="a web page"),
        pytest.param(b"<?xml version='1.0'?><opencv_storage></opencv_storage>", id="no cascade"),
    ],
)
def test_a_file_that_is_no_cascade_gives_the_sentence(content: bytes, folder: Path) -> None:
    (folder / HAAR).write_bytes(content)
    with pytest.raises(Trouble, match="is no Haar cascade: delete it and run `make setup`"):
        FetchFaceModels().run(NO_CONTEXT)
    with pytest.raises((Trouble, RuntimeError), match="is no Haar cascade: delete it"):
        Faces().find(np.zeros((200, 200), np.uint8))
    assert (folder / HAAR).read_bytes() == content


@pytest.mark.parametrize("address", [False, True])
def test_a_file_of_other_content_is_refused(address: bool, folder: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dat"
    wrong.write_bytes(bytes(1000))
    origin = wrong.as_uri() if address else str(wrong)
    with pytest.raises(Trouble) as caught:
        FetchFaceModels(landmarks=origin).run(NO_CONTEXT)
    assert str(caught.value) == f"{origin} does not hold {LANDMARKS} as published (SHA-256 differs)"
    assert [path.name for path in folder.iterdir()] == [HAAR]
    assert wrong.read_bytes() == bytes(1000)


def test_a_file_of_the_right_size_and_other_content_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.dat"
    with open(wrong, "wb") as file:
        file.truncate(PUBLISHED[LANDMARKS].size)
    with pytest.raises(Trouble, match="SHA-256 differs"):
        FetchFaceModels(landmarks=str(wrong)).run(NO_CONTEXT)
    assert [path.name for path in folder.iterdir()] == [HAAR]


def test_a_file_that_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere.dat")
    with pytest.raises(Trouble) as caught:
        FetchFaceModels(landmarks=missing).run(NO_CONTEXT)
    assert str(caught.value) == f"{missing}: no such file"
    assert [path.name for path in folder.iterdir()] == [HAAR]


def test_an_address_that_leads_nowhere_is_trouble_not_a_traceback(
    folder: Path, tmp_path: Path
) -> None:
    origin = (tmp_path / "nowhere.dat").as_uri()
    with pytest.raises(Trouble, match=r"nowhere\.dat"):
        FetchFaceModels(landmarks=origin).run(NO_CONTEXT)
    assert [path.name for path in folder.iterdir()] == [HAAR]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_right_file_replaces_a_damaged_one(
    name: str, folder: Path, real: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes(b"cut short")
    assert fetch(*real.values()) == 0
    assert all(path.is_file() for path in real.values())
    assert installed(name).read_bytes() == real[name].read_bytes()
    assert {path.name for path in folder.iterdir()} == {HAAR, *PUBLISHED}
    assert (folder / HAAR).read_bytes() == haar()
    assert "SHA-256 right" in capsys.readouterr().out


def test_a_file_that_is_right_is_left_alone(folder: Path, real: dict[str, Path]) -> None:
    for name, path in real.items():
        (folder / name).symlink_to(path)  # a new file would take the link's place
    assert fetch("no/such/file", "no/such/file", "no/such/file") == 0
    assert all((folder / name).is_symlink() for name in real)


def test_a_network_that_is_another_model_is_refused(folder: Path, real: dict[str, Path]) -> None:
    with pytest.raises(Trouble, match=f"does not hold {BLAZEFACE} as published"):
        fetch(real[LANDMARKS], real[FACE_MESH], real[FACE_MESH])
    assert {path.name for path in folder.iterdir()} == {HAAR, LANDMARKS}


@pytest.mark.parametrize("content", [b"", b"<html><body>404</body></html>", bytes(229_032)])
def test_a_file_that_is_no_network_gives_the_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / BLAZEFACE
    path.write_bytes(content)
    with pytest.raises(Trouble, match="is no TFLite network: delete it and run `make setup`"):
        Network(path, 128)
