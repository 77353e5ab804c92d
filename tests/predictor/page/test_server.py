"""Only the page itself is answered, by its own name, and large files are refused."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra: pip install 'avsgn_pyg[page]'")

from starlette.testclient import TestClient

from avsgn_pyg.predictor.page.server import make_server


@pytest.fixture
def visitor(page) -> TestClient:
    return TestClient(make_server(page.uploads, ("127.0.0.1",)), base_url="http://127.0.0.1:7860")


def test_a_file_that_is_sent_can_be_played_and_sought(visitor, movie) -> None:
    token = visitor.post("/page/clips?name=my movie.mp4", content=movie.read_bytes()).json()["token"]
    reply = visitor.get(f"/page/media/{token}", headers={"Range": "bytes=4-11"})
    assert reply.status_code == 206 and reply.content == movie.read_bytes()[4:12]
    assert reply.headers["content-type"] == "video/mp4"


def test_a_file_above_the_limit_is_refused_and_not_kept(visitor, page) -> None:
    reply = visitor.post("/page/clips?name=a.mp4", content=b"x" * 200_001)
    assert reply.status_code == 400 and "larger than" in reply.text
    assert not list(page.uploads.folder.iterdir())


def test_a_file_of_another_kind_is_not_shown_as_a_page(visitor) -> None:
    token = visitor.post("/page/clips?name=a.html", content=b"<script>alert(1)</script>").json()["token"]
    reply = visitor.get(f"/page/media/{token}")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [
    "/gradio_api/file=/etc/passwd", "/gradio_api/upload", "/gradio_api/proxy=http://x", "/gradio_api/call/look",
    "/page/media/../clips", "/page/media/unknown", "/page/viewer.html", "/docs", "/openapi.json", "/monitoring",
])
def test_no_other_address_is_answered(visitor, path) -> None:
    assert visitor.get(path).status_code in (404, 405)


def test_another_pages_request_and_a_foreign_name_are_refused(visitor) -> None:
    assert visitor.post("/page/clips", headers={"Origin": "https://evil.example"}).status_code == 403
    assert visitor.get("/page/viewer.js", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("content", [b" " * 4_000_001, iter([b"of unknown length"])])
def test_a_request_that_is_no_clip_is_short(visitor, content) -> None:
    assert visitor.post("/page/export", content=content).status_code == 413


def test_a_browser_may_fetch_nothing_from_elsewhere(visitor) -> None:
    policy = visitor.get("/page/viewer.js").headers["content-security-policy"]
    assert "default-src 'self' data: blob:;" in policy and "http" not in policy


def test_downloads_are_the_events_that_are_shown(visitor, page, analysed) -> None:
    asked = {"token": analysed["token"], "result": "tiny|", "tau": 0.8, "events": None, "format": "audacity"}
    reply = visitor.post("/page/export", json=asked)
    assert reply.text == "3.000000\t4.000000\train\n" and reply.headers["x-file-name"] == "movie.labels.txt"
    assert visitor.post("/page/export", json={**asked, "result": "no"}).status_code == 400
    assert visitor.post("/page/export", content=b"no json").status_code == 400
