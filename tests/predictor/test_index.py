"""The page of an output folder has every clip, event and file, and nothing of a name becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from avsgn_pyg.predictor.index import index_page

EVIL = "<img src=x onerror=alert('x')>&\".mp4"


class Page(HTMLParser):
    """Its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, name: str) -> list[str | None]:
        return [found[name] for each, found in self.elements if each == tag and name in found]


def entry(*found: tuple[str, float, float, float], stem: str = "a", files: tuple[str, ...] = (), notes: tuple = ()
          ) -> dict[str, object]:
    return {"stem": stem, "files": dict.fromkeys(files), "duration": "20.00", "notes": notes, "found": found}


def test_a_clip_has_a_player_its_events_with_pictures_and_links_to_its_files(tmp_path: Path) -> None:
    found = (("bell", 2.0, 7.0, 0.75), ("rain [no sound]", 5.0, 20.0, 0.5))
    clip = entry(*found, files=("a.json", "a.event-1.jpg"), notes=("cut short",))
    page = Page(index_page(tmp_path / "out", {str(tmp_path / "clips" / "my clip #1.mp4"): clip}, {}))
    source = "./../clips/my%20clip%20%231.mp4"
    assert page.values("video", "src") == [f"{source}#t=2.00"] and page.values("img", "src") == ["./a.event-1.jpg"]
    assert page.values("a", "href") == [f"{source}#t=2.00,7.00", f"{source}#t=5.00,20.00", "./a.json",
                                        "./a.event-1.jpg"]
    assert page.values("span", "style") == ["left: 10.00%; width: 25.00%", "left: 25.00%; width: 75.00%"]
    for text in ("Events of 1 clip", "my clip #1.mp4", "bell, 2.00 to 7.00 s", "rain [no sound], 5.00", "cut short"):
        assert text in page.text


def test_no_path_of_the_machine_is_shown(tmp_path: Path) -> None:
    clip = str(tmp_path / "clips" / "b.mp4")
    text = index_page(tmp_path / "out", {}, {clip: f"{clip}: not a video"})
    assert "failed: b.mp4: not a video" in text and str(tmp_path) not in text


def test_names_labels_and_errors_are_text(tmp_path: Path) -> None:
    clips = {str(tmp_path / EVIL): entry((EVIL, 0.0, 1.0, 1.0), stem=EVIL, files=(EVIL,), notes=(EVIL,)),
             str(tmp_path / "javascript:x\udcff.wav"): entry()}
    text = index_page(tmp_path, clips, {str(tmp_path / "b.mp4"): f"b: {EVIL}"})
    page = Page(text)
    assert not page.values("img", "src") and page.text.count(EVIL) == 5
    assert all(link.startswith("./") for link in page.values("a", "href"))
    assert unquote(page.values("video", "src")[0]) == f"./{EVIL}#t=0.00"
    assert page.values("audio", "src") == ["./javascript%3Ax%FF.wav"]
    assert "failed: b: " in page.text and page.text.count("no event") == 1
    text.encode()


@pytest.mark.parametrize(("clips", "says"), [
    ({}, "Events of 0 clips"), ({"/x/a.mp4": {"stem": "a", "files": {}, "events": ["bell 1-2 s"]}}, "bell 1-2 s"),
])
def test_an_empty_folder_and_a_record_of_an_earlier_version_have_a_page(tmp_path: Path, clips: dict, says: str) -> None:
    page = Page(index_page(tmp_path, clips, {}))
    assert says in page.text and "no event" not in page.text
