"""A clip belongs to the session that asked for it first, and goes with it."""

from __future__ import annotations

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.page import uploads as module
from avsgn_pyg.predictor.page.uploads import Uploads


@pytest.fixture
def uploads(movie):
    made = Uploads([movie])
    yield made
    made.close()


def send(uploads, name="talk.mp4", content=b"x"):
    with uploads.receive(name) as path:
        path.write_bytes(content)
    return path.parent.name


def test_a_clip_of_one_session_is_not_given_to_another(uploads) -> None:
    token = send(uploads)
    assert uploads.claim(token, "one").name == "talk.mp4"
    with pytest.raises(DataError, match="another session"):
        uploads.claim(token, "two")


def test_the_files_of_a_session_are_removed_when_it_leaves_and_others_stay(uploads, movie) -> None:
    mine, other = uploads.claim(send(uploads), "one"), uploads.claim(send(uploads), "two")
    uploads.remove_session("one")
    assert not mine.path.exists() and other.path.exists() and movie.exists()
    with pytest.raises(DataError, match="no longer"):
        uploads.find(mine.token)


def test_a_session_keeps_a_few_clips_and_the_oldest_goes(uploads, monkeypatch) -> None:
    monkeypatch.setattr(module, "PER_SESSION", 2)
    clips = [uploads.claim(send(uploads), "one") for _ in range(3)]
    assert [clip.path.exists() for clip in clips] == [False, True, True]


def test_a_file_that_nobody_asks_for_is_removed(uploads, monkeypatch) -> None:
    token = send(uploads)
    monkeypatch.setattr(module, "CLAIM_SECONDS", -1)
    send(uploads)
    assert uploads.get(token) is None


def test_too_many_waiting_files_are_refused(uploads, monkeypatch) -> None:
    monkeypatch.setattr(module, "UNCLAIMED", 1)
    send(uploads)
    with pytest.raises(DataError, match="Too many"):
        send(uploads)


def test_files_that_are_still_being_sent_wait_too(uploads, monkeypatch) -> None:
    monkeypatch.setattr(module, "UNCLAIMED", 1)
    with uploads.receive("a.mp4"), pytest.raises(DataError, match="Too many"):
        send(uploads)


def test_an_interrupted_file_leaves_nothing(uploads) -> None:
    with pytest.raises(RuntimeError), uploads.receive("a.mp4"):
        raise RuntimeError
    assert not list(uploads.folder.iterdir())


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\clips\\a.mp4", "", "a" * 300 + ".mp4", "\x00.mp4"])
def test_a_name_is_no_path(uploads, name) -> None:
    clip = uploads.find(send(uploads, name))
    assert clip.path.parent.parent == uploads.folder
    assert not {"/", "\\", "\x00"} & set(clip.name) and len(clip.name) <= 120


def test_closing_removes_every_file_that_was_sent(uploads, movie) -> None:
    send(uploads)
    uploads.close()
    assert not uploads.folder.exists() and movie.exists()
