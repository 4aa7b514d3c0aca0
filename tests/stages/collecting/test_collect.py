"""Collecting: licensed pictures with their sources, each fetched once, however a run ends."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from look_alikes import Web, web
from small_pipeline import picture

from pipeline.__main__ import main
from pipeline.sources import NAME, read

HTML = b"<html><body>Sign in to see this picture</body></html>"


@pytest.fixture
def server() -> Iterator[Web]:
    pictures = {f"/{number}.jpg": picture(number) for number in range(45)}
    pictures |= {"/page.jpg": HTML, "/copy.jpg": picture(0)}
    with web(pictures) as running:
        yield running


def collect(server: Web, home: Path, *words: str, engine: str = "openverse") -> int:
    search = ["--engine", engine, "--endpoint", server.at(f"/{engine}")] if engine else []
    where = ["--raw", str(home / "raw"), "--processed", str(home / "processed")]
    polite = ["--reach", "loopback", "--pause", "0"]
    return main(["collect", "--label", "smile", *search, *where, *polite, *words])


def files_in(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != NAME
    }


def test_a_search_fills_a_label_and_tells_where_each_picture_comes_from(
    server: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(server, tmp_path, "--query", "smiling face", "--n", "99") == 0
    folder = tmp_path / "raw" / "smile"
    assert "45 pictures in" in (told := capsys.readouterr().out)
    assert "2 refused (not_an_image 1, duplicate 1)" in told
    sources = read(folder)
    assert {source.file: source.sha256 for source in sources if source.file} == files_in(folder)
    assert {source.refused for source in sources} == {"", "not_an_image", "duplicate"}
    first = sources[0]
    assert first.address == server.at("/0.jpg") and first.page == server.at("/page/0.jpg")
    assert (first.title, first.creator) == ("A face, /0.jpg", "=Anna, the photographer")
    assert (first.licence, first.query) == ("by 4.0", "smiling face")
    assert first.licence_address == "https://creativecommons.org/licenses/by/4.0/"
    searches = [query for query in server.queries if query["path"] == "/openverse"]
    assert [query["page"] for query in searches] == ["1", "2", "3"]
    assert {query["license"] for query in searches} == {"cc0,pdm,by,by-sa"}


def test_no_more_is_fetched_than_asked_for(server: Web, tmp_path: Path) -> None:
    assert collect(server, tmp_path, "--query", "x", "--n", "7") == 0
    assert len(files_in(tmp_path / "raw" / "smile")) == 7
    assert sum(server.asked[path] for path in server.pictures) == 7


def test_a_second_run_fetches_only_what_is_missing(server: Web, tmp_path: Path) -> None:
    collect(server, tmp_path, "--query", "x", "--n", "7")
    collect(server, tmp_path, "--query", "x", "--n", "99")
    collect(server, tmp_path, "--query", "x", "--n", "99")
    assert len(files_in(tmp_path / "raw" / "smile")) == 45
    assert {server.asked[path] for path in server.pictures} == {1}


def test_commons_gives_only_the_licences_asked_for(server: Web, tmp_path: Path) -> None:
    assert collect(server, tmp_path, "--query", "x", "--n", "99", engine="commons") == 0
    sources = read(tmp_path / "raw" / "smile")
    assert {source.licence for source in sources} == {"by-sa 3.0", "pdm"}
    assert {source.creator for source in sources} == {"Bert & Co"}
    assert len(sources) == len([place for place in range(47) if place % 3 != 1])


def test_bing_says_that_it_knows_no_licence(server: Web, tmp_path: Path) -> None:
    pytest.importorskip("icrawler", reason="needs the extra [icrawler]")
    assert collect(server, tmp_path, "--query", "x", "--n", "30", engine="bing") == 0
    assert {source.licence for source in read(tmp_path / "raw" / "smile")} == {"unknown"}


def test_an_engine_that_does_not_answer_loses_nothing(
    server: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(server, tmp_path, "--query", "x", "--n", "3")
    assert collect(server, tmp_path, "--query", "x", "--n", "9", engine="commons") == 0
    del server.pictures["/page.jpg"]
    words = ["--query", "x", "--engine", "openverse", "--endpoint", server.at("/gone")]
    assert collect(server, tmp_path, *words, engine="") == 1
    assert "/gone does not answer (http_404" in capsys.readouterr().out
    assert len(files_in(tmp_path / "raw" / "smile")) == 9


def test_a_list_of_addresses_may_name_labels(server: Web, tmp_path: Path) -> None:
    rows = [f"{server.at('/0.jpg')},smile", f"{server.at('/1.jpg')},none", ",none"]
    (tmp_path / "list.csv").write_text("URL,label\n" + "\n".join(rows))
    assert collect(server, tmp_path, "--urls", str(tmp_path / "list.csv"), engine="") == 0
    assert [len(read(tmp_path / "raw" / label)) for label in ("smile", "none")] == [1, 1]


def test_a_list_without_labels_goes_to_the_one_that_is_named(server: Web, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{server.at('/0.jpg')}\n\n{server.at('/0.jpg')}\n")
    assert collect(server, tmp_path, "--urls", str(tmp_path / "list.txt"), engine="") == 0
    assert len(files_in(tmp_path / "raw" / "smile")) == 1


@pytest.mark.parametrize("label", ["../x", "a/b", ".hidden", "", "train", "x "])
def test_a_label_is_one_folder_below_raw(label: str, server: Web, tmp_path: Path) -> None:
    words = ["collect", "--query", "x", "--raw", str(tmp_path / "raw"), "--label", label]
    assert main([*words, "--reach", "loopback"]) == 2
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_goes_on_without_fetching_twice(
    number: signal.Signals, server: Web, tmp_path: Path
) -> None:
    words = ["--label", "smile", "--query", "x", "--engine", "openverse", "--n", "99"]
    words += ["--endpoint", server.at("/openverse"), "--raw", str(tmp_path / "raw")]
    words += ["--reach", "loopback", "--pause", "0.02"]
    command = [sys.executable, "-m", "pipeline", "collect", *words]
    folder = tmp_path / "raw" / "smile"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        while run.poll() is None and len(list(folder.glob("*.jpg"))) < 5:
            time.sleep(0.01)
        os.kill(run.pid, number)
        assert b"Traceback" not in run.communicate()[1]
    kept = len(read(folder))
    assert 4 <= kept < 45
    assert collect(server, tmp_path, "--query", "x", "--n", "99") == 0
    assert len(files_in(folder)) == 45
    repeated = [path for path in server.pictures if server.asked[path] > 1]
    assert len(repeated) <= 9  # those under way, one a thread and one placed without its row


def test_credits_name_title_creator_licence_and_page(server: Web, tmp_path: Path) -> None:
    collect(server, tmp_path, "--query", "x", "--n", "2")
    where = ["--raw", str(tmp_path / "raw"), "--processed", str(tmp_path / "processed")]
    assert main(["credits", *where]) == 0
    first = read(tmp_path / "raw" / "smile")[0]
    assert (tmp_path / "processed" / "credits.txt").read_text().splitlines()[:2] == [
        "smile: 2 pictures",
        f"{first.file}: A face, /0.jpg, by =Anna, the photographer, CC BY 4.0 "
        f"https://creativecommons.org/licenses/by/4.0/, {server.at('/page/0.jpg')}",
    ]
