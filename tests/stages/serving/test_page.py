"""The page in a real browser: pictures and the camera, used as a person uses them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from served import LABELS, Served, portrait_file, serving, small_model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)")
FLAGS = (
    "--no-sandbox", "--disable-quic", "--disable-background-networking",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with serving(small_model(folder), "--faces", "all", "--max-megabytes", 2) as served:
        yield served


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    """Chromium, whose camera sees the portrait."""
    image = cv2.resize(cv2.imread(str(portrait_file(folder, ".png"))), (480, 480))
    seen = folder / "camera.mjpeg"
    seen.write_bytes(cv2.imencode(".jpg", image)[1].tobytes() * 5)
    flags = [*FLAGS, f"--use-file-for-fake-video-capture={seen}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Served) -> Iterator[Page]:
    """The page, freshly opened; whatever it complains of in the console fails the test."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(server.address)
    expect(page.locator("#labels")).to_have_text(", ".join(LABELS))
    yield page
    page.close()
    refused = "Failed to load resource"  # the browser's own note of a reply that is no 200
    assert [line for line in complaints if not line.startswith(refused)] == []


def colours(page: Page) -> set[tuple[int, int, int]]:
    """All colours of the canvas as it is on the screen."""
    data = np.frombuffer(page.locator("#canvas").screenshot(), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return set(map(tuple, image.reshape(-1, 3).tolist()))


PINK, WHITE = (255, 79, 135), (255, 255, 255)  # of the first face's boxes, and of landmarks


def expect_an_answer(page: Page) -> None:
    expect(page.locator("#message")).to_have_text(re.compile(r"^none \d+\.\d %$"))
    expect(page.locator("#faces .label")).to_have_text(LABELS)
    expect(page.locator("#faces .share")).to_have_text([re.compile(r"^\d+\.\d %$")] * 3)
    expect(page.locator("#legend")).to_be_visible()


def test_a_chosen_picture_shows_boxes_landmarks_and_shares(page: Page, folder: Path) -> None:
    page.set_input_files("#file", portrait_file(folder))
    expect_an_answer(page)
    expect(page.locator("#caption")).to_have_text(
        re.compile(r"^portrait\.jpg · 512 × 512 pixels · \d+ ms$")
    )
    with_points = colours(page)
    page.get_by_label("Landmarks").uncheck()
    without = colours(page)
    assert PINK in with_points and PINK in without
    assert len(with_points - without) > 50  # the points hid nothing else than the picture


def test_a_dropped_picture_is_labelled(page: Page, folder: Path) -> None:
    drop(page, portrait_file(folder), "image/jpeg")
    expect_an_answer(page)


def drop(page: Page, path: Path, kind: str) -> None:
    """Drag a file over the page and let go. The page forbids eval, so the event is made here by
    the browser's own debugging protocol, as a hand's would be.
    """
    box = page.locator("#stage").bounding_box()
    assert box is not None
    where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": step, **where, "data": data})


def test_two_faces_have_numbers(page: Page, folder: Path) -> None:
    image = cv2.imread(str(portrait_file(folder)))
    both = folder / "both.png"
    cv2.imwrite(str(both), cv2.hconcat([image, cv2.resize(image, None, fx=0.9, fy=1)]))
    page.set_input_files("#file", both)
    expect(page.locator("#message")).to_have_text("2 faces")
    expect(page.locator("#faces h2")).to_have_text(["Face 1", "Face 2"])


def test_a_picture_without_an_answer_shows_the_reason(page: Page, folder: Path) -> None:
    cut = folder / "cut.jpg"
    cut.write_bytes(portrait_file(folder).read_bytes()[:9000])
    blank = folder / "blank.png"
    cv2.imwrite(str(blank), cv2.imread(str(portrait_file(folder)))[:20, :20])
    large = folder / "large.jpg"
    large.write_bytes(bytes(2_000_001))
    for path, message in (
        (cut, "The file ends before the picture does: send the whole file."),
        (blank, "No face was found. A larger face, seen from the front, works best."),
        (large, "The file is over 2 MB: choose a smaller one."),
    ):
        page.set_input_files("#file", path)
        expect(page.locator("#message")).to_have_text(message)
        expect(page.locator("#message")).to_have_class("wrong")


def test_the_camera_is_labelled_until_it_is_stopped(page: Page, folder: Path) -> None:
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#message")).to_have_text("none")
    expect(page.locator("#faces .label")).to_have_text(LABELS)
    expect(page.locator("#caption")).to_have_text(re.compile(r"^\d+ × \d+ pixels · \d+ ms$"))
    assert PINK in colours(page)
    page.get_by_role("button", name="Stop the camera").click()
    expect(page.locator("#message")).to_have_text("The camera is off.")
    expect(page.locator("#canvas")).to_be_hidden()
    page.set_input_files("#file", portrait_file(folder))
    expect_an_answer(page)


@pytest.mark.parametrize("width", [320, 1200])
def test_nothing_runs_out_of_the_window(page: Page, folder: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.set_input_files("#file", portrait_file(folder))
    expect_an_answer(page)
    for name in ("#stage", "#canvas", "#controls", "#faces", "#message", "footer"):
        box = page.locator(name).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    page.screenshot(path=folder / f"page-{width}.png", full_page=True)


def test_the_interface_is_described(page: Page) -> None:
    page.get_by_role("link", name="JSON interface").click()
    heads = ["POST /predict", "GET /health", "Prediction", "Answer", "Refusal", "Health"]
    expect(page.locator("article h2")).to_have_text(heads)
    expect(page.locator("pre").first).to_have_text(
        re.compile(r"^curl --data-binary @photo\.jpg http://127\.0\.0\.1:\d+/predict$")
    )


def test_a_server_that_is_gone_is_reported(page: Page, server: Served, folder: Path) -> None:
    page.route("**/predict", lambda route: route.abort())
    page.set_input_files("#file", portrait_file(folder))
    message = "The server does not answer. Is it still running?"
    expect(page.locator("#message")).to_have_text(message)
