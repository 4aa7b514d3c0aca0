"""The review page in a real browser: keys decide, decisions are on disk at once, and nobody else
gets in.
"""

from __future__ import annotations

import csv
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from playwright.sync_api import Browser, Page, expect, sync_playwright
from small_pipeline import picture, put

from pipeline.__main__ import main
from pipeline.decisions import NAME, read
from pipeline.ledger import Ledger
from pipeline.sample import Outcome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)")
expect.set_options(timeout=20_000)
HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Reviewed:
    """A processed folder under review, and where the page is."""

    home: Path
    address: str

    @property
    def decisions(self) -> dict[str, str]:
        """The words by key."""
        found = read(self.home / "processed" / NAME).values()
        return {one.key: f"{one.decision} {one.label}".strip() for one in found}


def where(home: Path) -> list[str]:
    return ["--raw", str(home / "raw"), "--processed", str(home / "processed")]


@contextmanager
def reviewing(home: Path) -> Iterator[Reviewed]:
    command = [sys.executable, "-W", "error", "-m", "pipeline", "review", *where(home)]
    with subprocess.Popen(
        [*command, "--region", "whole"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        try:
            yield Reviewed(home, found[0])
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


@pytest.fixture
def reviewed(tmp_path: Path) -> Iterator[Reviewed]:
    """Six pictures of two labels (one with a hostile name) and a copy of the first."""
    for number in range(6):
        name = HOSTILE.replace("/", "") if number == 5 else str(number)
        put(tmp_path / f"raw/{'ab'[number // 3]}/{name}.jpg", picture(number, shape=(64, 64, 3)))
    put(tmp_path / "raw/a/copy.jpg", picture(0, shape=(64, 64, 3)))
    assert main(["split", *where(tmp_path), "--region", "whole", "--workers", "0"]) == 0
    with reviewing(tmp_path) as reviewed:
        yield reviewed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str, complaints: list[str]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(address)
    expect(page.locator("#count")).to_contain_text("pictures")
    expect(page.locator(".cell").first).to_be_visible()
    yield page
    page.close()


@pytest.fixture
def page(browser: Browser, reviewed: Reviewed) -> Iterator[Page]:
    """The page, freshly opened; whatever it complains of in the console fails the test."""
    complaints: list[str] = []
    with opened(browser, reviewed.address, complaints) as page:
        yield page
    assert not complaints


def said(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_contain_text(text)


@needs_browser
def test_keys_drop_keep_label_and_move_on(page: Page, reviewed: Reviewed) -> None:
    page.keyboard.press("x")
    said(page, "a/0.jpg dropped")
    page.keyboard.press("2")
    said(page, "a/1.jpg labelled b")
    page.keyboard.press("k")
    said(page, "a/2.jpg kept")
    assert reviewed.decisions == {"a/0.jpg": "drop", "a/1.jpg": "keep b", "a/2.jpg": "keep"}


@needs_browser
def test_undo_takes_back_one_decision_after_the_other(page: Page, reviewed: Reviewed) -> None:
    page.keyboard.press("x")
    said(page, "dropped")
    page.keyboard.press("2")
    said(page, "labelled")
    page.keyboard.press("u")
    said(page, "Undone")
    assert reviewed.decisions == {"a/0.jpg": "drop"}
    page.keyboard.press("u")
    expect(page.locator(".cell.drop")).to_have_count(0)
    page.keyboard.press("u")
    said(page, "nothing to undo")
    assert reviewed.decisions == {}


@needs_browser
def test_a_range_is_chosen_with_shift_and_dropped_at_once(page: Page, reviewed: Reviewed) -> None:
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".cell.chosen")).to_have_count(3)
    page.keyboard.press("x")
    said(page, "3 pictures dropped")
    assert set(reviewed.decisions.values()) == {"drop"} and len(reviewed.decisions) == 3


@needs_browser
def test_filters_are_in_the_address(page: Page, reviewed: Reviewed) -> None:
    page.select_option("select[name=reason]", "duplicate")
    expect(page.locator("#count")).to_have_text("1 pictures")
    assert "reason=duplicate" in page.url
    page.reload()
    expect(page.locator("#count")).to_have_text("1 pictures")
    expect(page.locator(".cell").first).to_contain_text("a/copy.jpg")


@needs_browser
def test_a_picture_labelled_anew_is_counted_and_found_under_its_new_label(
    page: Page, reviewed: Reviewed
) -> None:
    page.keyboard.press("2")
    said(page, "a/0.jpg labelled b")
    page.reload()
    page.select_option("select[name=label]", "b")
    expect(page.locator("#count")).to_have_text("5 pictures")  # its copy has the same content
    expect(page.locator(".cell").first).to_contain_text("a/0.jpg")
    expect(page.locator("select[name=label] option")).to_have_text(["all", "a (2)", "b (5)"])


@needs_browser
def test_a_copy_is_shown_beside_the_picture_it_is_like(page: Page, reviewed: Reviewed) -> None:
    page.select_option("select[name=reason]", "duplicate")
    expect(page.locator("#count")).to_have_text("1 pictures")
    page.keyboard.press("Enter")
    expect(page.locator("#other")).to_be_visible()
    page.keyboard.press("k")
    said(page, "a/copy.jpg kept")
    assert reviewed.decisions == {"a/copy.jpg": "keep"}


@needs_browser
def test_a_dragged_square_becomes_the_crop(page: Page, reviewed: Reviewed) -> None:
    page.keyboard.press("Enter")
    frame = page.locator("#picture")
    expect(frame).to_be_visible()
    box = frame.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 8, box["y"] + 16)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 30)
    page.mouse.up()
    said(page, "given a crop")
    (decision,) = read(reviewed.home / "processed" / NAME).values()
    assert decision.crop == (8, 16, 32)


@needs_browser
def test_two_tabs_agree(page: Page, reviewed: Reviewed, browser: Browser) -> None:
    with opened(browser, reviewed.address, []) as other:
        page.keyboard.press("x")
        expect(other.locator(".cell.drop")).to_have_count(1 + 1)  # its copy has the same content


@needs_browser
def test_hostile_names_stay_text(page: Page) -> None:
    expect(page.locator(".cell", has_text="onerror=alert(1)")).to_have_count(1)
    assert page.locator("img[src=x]").count() == 0


def put_rows(home: Path, count: int) -> None:
    """A picture b/0.jpg, and so many rows of label a that show it but count as different ones."""
    put(home / "raw/b/0.jpg", picture(0, shape=(64, 64, 3)))
    assert main(["split", *where(home), "--region", "whole", "--workers", "0"]) == 0
    with Ledger(home / "processed/ledger.sqlite") as ledger:
        ((output, _),) = ledger.outputs("normalize")
        for stage in ("normalize", "split"):
            ledger.record(
                stage,
                (
                    Outcome(
                        f"a/{number:06d}.jpg",
                        "a",
                        "kept",
                        "f",
                        "s",
                        "",
                        json.dumps({"content": str(number), "width": 64, "height": 64}),
                        output,
                    )
                    for number in range(count)
                ),
            )


@needs_browser
def test_no_picture_is_skipped_when_others_leave_the_filter(
    browser: Browser, tmp_path: Path
) -> None:
    put_rows(tmp_path, 250)  # more than the page asks for at once
    complaints: list[str] = []
    with reviewing(tmp_path) as reviewed:
        address = f"{reviewed.address}&label=a"
        with opened(browser, address, complaints) as page:
            page.keyboard.press("2")
            said(page, "a/000000.jpg labelled b")
            page.keyboard.press("End")
            expect(page.locator(".cell.here")).to_contain_text("a/000249.jpg")
            expect(page.locator("#count")).to_have_text("250 pictures")
    assert not complaints


@needs_browser
def test_a_hundred_thousand_pictures_scroll(browser: Browser, tmp_path: Path) -> None:
    put_rows(tmp_path, 100_000)
    complaints: list[str] = []
    with reviewing(tmp_path) as reviewed, opened(browser, reviewed.address, complaints) as page:
        expect(page.locator("#count")).to_have_text("100,001 pictures")
        page.keyboard.press("End")
        expect(page.locator(".cell.here")).to_contain_text("b/0.jpg")
        began = time.monotonic()
        for place in range(20):
            page.evaluate(f"scroller.scrollTop = scroller.scrollHeight * {place} / 20")
            expect(page.locator(".cell").first).to_be_visible()
        assert time.monotonic() - began < 20
        assert page.locator(".cell").count() < 200
    assert not complaints


def ask(reviewed: Reviewed, path: str, **headers: str) -> int:
    """The status of a request without a browser's cookies."""
    host = re.search(r"//([^/]+)/", reviewed.address)
    assert host
    body = json.dumps({"numbers": [0], "decision": "drop"})
    method = "POST" if path.startswith("/decide") else "GET"
    with closing(http.client.HTTPConnection(host[1], timeout=20)) as connection:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        return connection.getresponse().status


def test_nobody_gets_in_without_the_token_or_from_another_page(reviewed: Reviewed) -> None:
    token = reviewed.address.partition("token=")[2]
    origin = reviewed.address.partition("/?")[0]
    assert ask(reviewed, "/items") == ask(reviewed, "/items?token=wrong") == 403
    assert ask(reviewed, f"/items?token={token}", Host="evil.example") == 400
    assert ask(reviewed, f"/decide?token={token}", Origin="http://evil.example") == 403
    assert ask(reviewed, f"/decide?token={token}") == 403
    assert not (reviewed.home / "processed" / NAME).exists()
    assert ask(reviewed, f"/decide?token={token}", Origin=origin) == 200
    assert reviewed.decisions == {"a/0.jpg": "drop"}


def test_decisions_survive_a_kill(tmp_path: Path) -> None:
    put(tmp_path / "raw/a/0.jpg", picture(0, shape=(64, 64, 3)))
    assert main(["split", *where(tmp_path), "--region", "whole", "--workers", "0"]) == 0
    command = [sys.executable, "-m", "pipeline", "review", *where(tmp_path), "--region", "whole"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        reviewed = Reviewed(tmp_path, found[0])
        token, origin = found[0].partition("token=")[2], found[0].partition("/?")[0]
        assert ask(reviewed, f"/decide?token={token}", Origin=origin) == 200
        process.kill()
    assert reviewed.decisions == {"a/0.jpg": "drop"}


def test_decisions_travel_as_csv(reviewed: Reviewed, tmp_path: Path) -> None:
    words = ["review", *where(reviewed.home), "--region", "whole"]
    table = put(
        tmp_path / "given.csv", b"key,digest,decision,label\na/0.jpg,,drop,\nb/3.jpg,,keep,a\n"
    )
    assert main([*words, "--import", str(table)]) == 0
    assert reviewed.decisions == {"a/0.jpg": "drop", "b/3.jpg": "keep a"}
    assert main([*words, "--export", str(tmp_path / "out.csv")]) == 0
    with open(tmp_path / "out.csv", newline="") as out:
        rows = {row["key"]: row for row in csv.DictReader(out)}
    assert rows["b/3.jpg"]["label"] == "a" and rows["a/0.jpg"]["digest"]


def test_a_table_that_names_unknown_pictures_is_wrong_usage(
    reviewed: Reviewed, tmp_path: Path
) -> None:
    table = put(tmp_path / "given.csv", b"key,digest,decision,label\nnowhere.jpg,,drop,\n")
    words = ["review", *where(reviewed.home), "--region", "whole", "--import", str(table)]
    assert main(words) == 2
    assert not (reviewed.home / "processed" / NAME).exists()
