"""A clip belongs to the session that asked for it first, and goes with it."""

from __future__ import annotations

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.page import desk as desks
from avsgn_pyg.predictor.page.desk import Desk


@pytest.fixture
def desk(movie):
    made = Desk([movie])
    yield made
    made.close()


def send(desk, name="talk.mp4", content=b"x"):
    with desk.receive(name) as path:
        path.write_bytes(content)
    return path.parent.name


def test_a_clip_of_one_session_is_not_given_to_another(desk) -> None:
    token = send(desk)
    assert desk.claim(token, "one").name == "talk.mp4"
    with pytest.raises(DataError, match="another visit"):
        desk.claim(token, "two")


def test_the_files_of_a_session_are_removed_when_it_leaves_and_others_stay(desk, movie) -> None:
    mine, other = desk.claim(send(desk), "one"), desk.claim(send(desk), "two")
    desk.leave("one")
    assert not mine.path.exists() and other.path.exists() and movie.exists()
    with pytest.raises(DataError, match="no longer"):
        desk.find(mine.token)


def test_a_session_keeps_a_few_clips_and_the_oldest_goes(desk, monkeypatch) -> None:
    monkeypatch.setattr(desks, "PER_SESSION", 2)
    clips = [desk.claim(send(desk), "one") for _ in range(3)]
    assert [clip.path.exists() for clip in clips] == [False, True, True]


def test_a_file_that_nobody_asks_for_is_removed(desk, monkeypatch) -> None:
    token = send(desk)
    monkeypatch.setattr(desks, "PATIENCE", -1)
    send(desk)
    assert desk.get(token) is None


def test_too_many_waiting_files_are_refused(desk, monkeypatch) -> None:
    monkeypatch.setattr(desks, "UNCLAIMED", 1)
    send(desk)
    with pytest.raises(DataError, match="Too many"):
        send(desk)


def test_files_that_are_still_being_sent_wait_too(desk, monkeypatch) -> None:
    monkeypatch.setattr(desks, "UNCLAIMED", 1)
    with desk.receive("a.mp4"), pytest.raises(DataError, match="Too many"):
        send(desk)


def test_an_interrupted_file_leaves_nothing(desk) -> None:
    with pytest.raises(RuntimeError), desk.receive("a.mp4"):
        raise RuntimeError
    assert not list(desk.folder.iterdir())


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\clips\\a.mp4", "", "a" * 300 + ".mp4", "\x00.mp4"])
def test_a_name_is_no_path(desk, name) -> None:
    clip = desk.find(send(desk, name))
    assert clip.path.parent.parent == desk.folder and not {"/", "\\", "\x00"} & set(clip.name) and len(clip.name) <= 120


def test_closing_removes_every_file_that_was_sent(desk, movie) -> None:
    send(desk)
    desk.close()
    assert not desk.folder.exists() and movie.exists()
