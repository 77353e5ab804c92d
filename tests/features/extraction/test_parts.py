"""What is finished is read back to the last bit; what is damaged is done again; what is foreign is refused."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from avsgn_pyg.features.extraction import parts as kept
from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Marks, Video
from avsgn_pyg.features.extraction.parts import Encoded, opened

SETTINGS = {"segments": 2, "precision": "fp32"}


def encoded(size: int = 10) -> Encoded:
    return Encoded(torch.randn(2, 3), torch.randn(2, 4), Marks(1, 2, True), size)


def test_parts_and_failures_come_back_as_they_were(tmp_path: Path):
    first, second = encoded(), encoded(2**40)
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.add({"é a": first})
        parts.fail([Failed("bad", (1, 2), "broken"), Failed("mended", (), "broken")])
        parts.add({"mended": second})
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        assert set(parts.finished) == {"é a", "mended"} and parts.failed == {"bad": Failed("bad", (1, 2), "broken")}
        assert torch.equal(parts.finished["é a"].audio, first.audio) and parts.finished["mended"].size == 2**40
        assert parts.finished["é a"].marks == Marks(1, 2, True)
        parts.add({"third": encoded()})
    assert len(list((tmp_path / "f.h5.parts").glob("part-*.npz"))) == 3


def test_a_video_is_lacking_when_new_replaced_or_to_be_tried_again(tmp_path: Path):
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.add({"a": encoded(10)})
        parts.fail([Failed("bad", (), "broken")])
        assert not parts.lacks(Video("a", Path("a"), (), 10)) and parts.lacks(Video("a", Path("a"), (), 11))
        assert not parts.lacks(Video("a", Path("a"), (), -1))  # cannot be looked at now
        assert parts.lacks(Video("b", Path("b")))
        assert not parts.lacks(Video("bad", Path("bad"))) and parts.lacks(Video("bad", Path("bad")), retry_failed=True)


def test_a_damaged_part_is_done_again_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.add({"a": encoded()})
        parts.add({"b": encoded()})
    part = tmp_path / "f.h5.parts" / "part-000001.npz"
    part.write_bytes(part.read_bytes()[:-200])
    (tmp_path / "f.h5.parts" / "part-000003.npz.partial").write_bytes(b"half")
    with caplog.at_level(logging.WARNING), opened(tmp_path / "f.h5", SETTINGS) as parts:
        assert set(parts.finished) == {"b"}
    assert "part-000001.npz: damaged" in caplog.text
    assert not list(tmp_path.rglob("*.partial"))


def test_parts_of_other_settings_are_refused_and_kept(tmp_path: Path):
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.add({"a": encoded()})
    with pytest.raises(ExtractionError, match="precision: fp32 there, bf16 now"), \
            opened(tmp_path / "f.h5", {**SETTINGS, "precision": "bf16"}):
        pass
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        assert set(parts.finished) == {"a"}
    with opened(tmp_path / "f.h5", {**SETTINGS, "precision": "bf16"}, overwrite=True) as parts:
        assert not parts.finished and parts.replace


def test_a_replacement_that_was_stopped_goes_on_when_it_is_asked_for_again(tmp_path: Path):
    for there in ([], ["a"]):
        with opened(tmp_path / "f.h5", SETTINGS, overwrite=True) as parts:
            assert list(parts.finished) == there and parts.replace
            parts.add({"a": encoded()})
    other = {**SETTINGS, "precision": "bf16"}
    with opened(tmp_path / "f.h5", other, overwrite=True) as parts:
        assert not parts.finished
        parts.add({"b": encoded()})
    (tmp_path / "f.h5.parts" / "manifest.json").write_text("{")
    with opened(tmp_path / "f.h5", other, overwrite=True) as parts:
        assert not parts.finished


def test_parts_that_were_to_be_added_are_not_taken_for_a_replacement(tmp_path: Path):
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.add({"a": encoded()})
    with opened(tmp_path / "f.h5", SETTINGS, overwrite=True) as parts:
        assert not parts.finished and parts.replace


def test_the_versions_of_every_run_that_finished_something_are_kept(tmp_path: Path):
    for number in "1223":
        with opened(tmp_path / "f.h5", SETTINGS, versions={"torch": number}) as parts:
            if number != "3":
                parts.add({number: encoded()})
    with opened(tmp_path / "f.h5", SETTINGS, versions={"torch": "4"}) as parts:
        assert parts.earlier == [{"torch": "1"}, {"torch": "2"}]


def test_a_failure_that_may_pass_is_tried_again_by_the_next_run(tmp_path: Path):
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.fail([Failed("bad", (), "broken"), Failed("lost", (1,), "the mount went away", passing=True)])
        assert set(parts.failed) == {"bad", "lost"}
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        assert set(parts.failed) == {"bad"}


def test_where_open_files_cannot_be_removed_the_lock_is_closed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    locks, real = [], Path.open

    def noted(path: Path, *words: object, **more: object):
        file = real(path, *words, **more)
        locks.extend([file] if path.name == "lock" else [])
        return file

    def remove(folder: Path, **_: object) -> None:
        assert locks
        assert all(lock.closed for lock in locks)
        shutil.rmtree(folder)

    monkeypatch.setattr(kept, "fcntl", None)
    monkeypatch.setattr(Path, "open", noted)
    monkeypatch.setattr(kept, "shutil", SimpleNamespace(rmtree=remove))
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.add({"a": encoded()})
        parts.remove()
    assert not list(tmp_path.iterdir())


def test_a_run_that_finished_nothing_leaves_nothing(tmp_path: Path):
    with opened(tmp_path / "f.h5", SETTINGS):
        assert (tmp_path / "f.h5.parts" / "manifest.json").is_file()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["manifest.json", "failed.json"])
def test_a_damaged_record_is_an_error_that_says_what_to_do(tmp_path: Path, name: str):
    with opened(tmp_path / "f.h5", SETTINGS) as parts:
        parts.fail([Failed("bad", (), "broken")])
    (tmp_path / "f.h5.parts" / name).write_text(json.dumps({})[:1])
    with pytest.raises(ExtractionError, match=rf"{name}: damaged .*--overwrite"), opened(tmp_path / "f.h5", SETTINGS):
        pass


def test_a_place_that_cannot_be_written_is_said_before_any_work(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ExtractionError, match="cannot be written"), opened(tmp_path / "file" / "f.h5", SETTINGS):
        pass
