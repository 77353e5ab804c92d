"""The page in a real browser, by pointer, by keyboard alone, and on a phone."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the page needs the extra: pip install 'avsgn_pyg[page]'")
pytest.importorskip("playwright", reason="these tests need pip install playwright")

from playwright.sync_api import sync_playwright

from avsgn_pyg.predictor.predictor import Predictor

ROOT = Path(__file__).resolve().parents[3]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on PATH (Debian: apt install chromium)"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"]
#: Milliseconds that a busy machine may take to answer.
PATIENCE = 90_000


@pytest.fixture(scope="module")
def served(trained: Predictor, movie: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a page that tools/serve.py serves, and the folder in which it writes."""
    folder = tmp_path_factory.mktemp("served")
    same = shutil.copytree(trained.checkpoint.path, folder / "same")
    command = [sys.executable, "tools/serve.py", str(trained.checkpoint.path), str(same), "--clip", str(movie),
               "--port", "0", "--max-megabytes", "1", "--corrections", str(folder / "corrections")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}) as server:
        try:
            yield re.search(r"http://[0-9.:]+/", server.stdout.readline())[0], folder
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    assert not list(folder.glob("avsgn-page-*")), "clips outlived the server"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(served, chromium) -> Iterator[Any]:
    """Open the page; a request to another host, an error of the script, or a blocked resource fails the test."""
    opened, problems = [], []

    def open_page(*, clip: bool = True, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 1500}, **options})
        opened.append(context)
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        tab.on("request", lambda asked: problems.append(asked.url) if not asked.url.startswith(
            (served[0], "data:", "blob:", "about:")) else None)
        tab.goto(served[0])
        tab.locator(".limits", has_text="MB").first.wait_for()
        if clip:
            tab.locator(".sample").first.click()
            tab.locator(".result:visible h2").wait_for()
        return tab

    yield open_page
    for context in opened:
        context.close()
    assert not problems


def events(tab: Any) -> list[tuple[str, float, float]]:
    """The events of the list."""
    return [(row.locator("select.label").input_value(), float(row.locator("input.start").input_value()),
             float(row.locator("input.end").input_value())) for row in tab.locator(".events:visible li").all()]


def download(tab: Any, form: str) -> str:
    with tab.expect_download() as found:
        tab.locator(f'.download[data-format="{form}"]:visible').click()
    return Path(found.value.path()).read_text("utf-8")


def test_a_sent_clip_is_shown_plays_and_follows_a_click(visit, movie, served) -> None:
    tab = visit(clip=False)
    tab.locator(".file").first.set_input_files(str(movie))
    tab.locator(".result:visible h2").wait_for()
    assert events(tab) == [("rain", 3, 4), ("rain", 5, 6), ("rain", 7, 8)]
    assert tab.locator(".lane:visible .title").all_inner_texts() == [
        "seen", "heard", "audio score", "visual score", "relevance", "events", "time"]
    tab.locator(".bar-label:visible").nth(1).click()
    player = tab.locator("video.player:visible")
    tab.wait_for_function("() => { const found = document.querySelector('video.player'); "
                          "return !found.paused && found.currentTime > 5.05; }")
    tab.wait_for_function("() => parseFloat(document.querySelector('.cursor').style.left) > 50.5")
    player.evaluate("found => found.pause()")
    box = tab.locator(".frames:visible .plot").bounding_box()
    tab.mouse.click(box["x"] + 0.2 * box["width"], box["y"] + 10)
    assert abs(player.evaluate("found => found.currentTime") - 2) < 0.1
    assert list(served[1].glob("avsgn-page-*/*/clip.mp4"))
    tab.close()
    for _ in range(300):
        if not list(served[1].glob("avsgn-page-*/*/clip.mp4")):
            break
        time.sleep(0.1)
    assert not list(served[1].glob("avsgn-page-*/*/clip.mp4")), "a clip outlived its page"


def test_the_threshold_decides_and_every_download_is_what_is_shown(visit, served) -> None:
    tab = visit()
    handle, box = tab.locator(".threshold:visible"), tab.locator(".relevance:visible .plot").bounding_box()
    tab.mouse.move(box["x"] + 50, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 50, box["y"] + 0.2 * box["height"], steps=4)
    tab.mouse.up()
    tau = float(handle.get_attribute("aria-valuenow"))
    assert 0.7 < tau < 0.88 and events(tab) == [("rain", 3, 4)]
    starts = {"vtt": "WEBVTT", "srt": "1\n", "audacity": "3.000000\t4.000000\train", "events": "category,start",
              "csv": "start,end", "eaf": "<?xml", "json": "{"}
    files = {form: download(tab, form) for form in starts}
    assert all(files[form].startswith(start) for form, start in starts.items())
    found = json.loads(files["json"])
    assert found["tau"] == tau and [event["start"] for event in found["events"]] == [3.0]


def test_an_event_is_corrected_by_pointer_saved_and_can_be_trained_on(visit, served) -> None:
    tab = visit()
    edge, axis = tab.locator(".edge.end:visible").last, tab.locator(".frames:visible .plot").bounding_box()
    box = edge.bounding_box()
    tab.mouse.move(box["x"] + 7, box["y"] + 12)
    tab.mouse.down()
    tab.mouse.move(axis["x"] + 0.93 * axis["width"], box["y"] + 12, steps=4)
    tab.mouse.up()
    assert events(tab)[-1] == ("rain", 7, 9)
    for _ in range(2):
        tab.locator(".delete:visible").first.click()
    tab.locator("select.label:visible").select_option("dog")
    assert events(tab) == [("dog", 7, 9)] and "7.000000\t9.000000\tdog" in download(tab, "audacity")
    tab.locator(".save:visible").click()
    tab.locator(".command code:visible").wait_for()
    assert "tools/train.py" in tab.locator(".command code:visible").inner_text()
    assert "dog&movie-" in (served[1] / "corrections" / "tiny" / "Annotations.txt").read_text()
    tab.locator(".restore:visible").click()
    assert len(events(tab)) == 3


def test_everything_can_be_done_by_keyboard(visit) -> None:
    tab = visit(clip=False)
    tab.locator(".sample").first.focus()
    tab.keyboard.press("Enter")
    tab.locator(".result:visible h2").wait_for()
    tab.locator(".threshold:visible").focus()
    for _ in range(3):
        tab.keyboard.press("PageUp")
    assert events(tab) == [("rain", 3, 4)]
    tab.locator(".time:visible").focus()
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    assert tab.locator(".time:visible").get_attribute("aria-valuetext") == "9 s"
    tab.locator(".add:visible").focus()
    tab.keyboard.press("Enter")
    assert events(tab)[-1][1:] == (9, 10)
    tab.locator("input.end:visible").first.focus()
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Tab")
    assert events(tab)[0] == ("rain", 3, 5)
    tab.locator(".bar-label:visible").first.focus()
    tab.keyboard.press("Delete")
    assert len(events(tab)) == 1
    tab.locator(".time:visible").focus()
    tab.keyboard.press("Home")
    tab.keyboard.press("Space")
    tab.wait_for_function("() => !document.querySelector('video.player').paused")


def test_a_broken_and_a_large_file_get_their_reason(visit, tmp_path) -> None:
    tab = visit(clip=False)
    files = (("broken.mp4", b"no video" * 99, "broken.mp4"), ("large.mp4", b"0" * 1_000_001, "MB"))
    for name, content, reason in files:
        (tmp_path / name).write_bytes(content)
        tab.locator(".file").first.set_input_files(str(tmp_path / name))
        tab.locator(".status.error:visible", has_text=reason).wait_for()
        assert "/" not in tab.locator(".status-text:visible").inner_text()


def test_the_graph_is_shown_and_two_models_are_compared(visit) -> None:
    tab = visit()
    tab.locator(".graph:visible summary").click()
    frame = tab.frame_locator(".graph:visible iframe")
    frame.locator("#graph .edge").first.wait_for(state="attached")
    assert frame.locator("#subgraphs input").count() == 3
    tab.get_by_role("tab", name="Compare").click()
    tab.locator(".sample:visible").first.click()
    tab.locator(".model-title:visible").first.wait_for()
    assert tab.locator(".model-title:visible").all_inner_texts() == ["tiny", "same"]
    assert tab.locator(".lane.bars:visible").count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(visit, scheme) -> None:
    tab = visit(viewport={"width": 380, "height": 800}, has_touch=True, is_mobile=True, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380
    box = tab.locator(".bars:visible .plot").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 380 and box["width"] > 280
    assert tab.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
