"""Many clips: what is bad is told of, and the rest is done."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.engine import files
from avsgn_pyg.features.encoder import EncoderError
from avsgn_pyg.predictor import Predictor, find_clips, predict_clips


@pytest.fixture
def folder(clip, tmp_path: Path) -> Path:
    """Two good clips around a bad one."""
    place = tmp_path / "clips"
    (place / "deep").mkdir(parents=True)
    shutil.copy(clip(3), place / "a.mp4")
    (place / "b.mp4").write_text("no video at all")
    shutil.copy(clip(3), place / "deep" / "c.mp4")
    (place / "notes.txt").write_text("not media")
    return place


def test_a_bad_file_does_not_stop_the_others(checkpoint, folder: Path, tmp_path: Path) -> None:
    predictor, out = Predictor.from_checkpoint(checkpoint(), device="cpu"), tmp_path / "out"
    first, bad, last = predict_clips(predictor, find_clips([folder]), out=out, formats=["json", "vtt"])
    assert [path.name for path in (*first.files, *last.files)] == ["a.json", "a.vtt", "c.json", "c.vtt"]
    assert bad.error.startswith(str(folder / "b.mp4")) and bad.prediction is None and bad.files == ()
    assert json.loads((out / "c.json").read_text())["name"] == "c.mp4"
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.vtt", "c.json", "c.vtt"]


def test_without_a_folder_the_texts_are_answered(checkpoint, clip) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    [outcome] = predict_clips(predictor, [clip(3)], formats=["table", "vtt"], top=2)
    assert "2 likeliest classes" in outcome.texts[0] and outcome.texts[1].startswith("WEBVTT")


def test_folders_are_searched_and_files_taken_as_they_are(folder: Path) -> None:
    found = find_clips([folder / "notes.txt", folder, folder / "a.mp4"])
    assert [path.name for path in found] == ["notes.txt", "a.mp4", "b.mp4", "c.mp4"]


def test_nothing_to_predict_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"absent\.mp4: no such file or folder"):
        find_clips([tmp_path / "absent.mp4"])
    with pytest.raises(DataError, match="no media file"):
        find_clips([tmp_path / "empty"])


def test_two_clips_that_would_write_one_file_are_refused_before_the_first(checkpoint, folder: Path, clip) -> None:
    shutil.copy(clip(3), folder / "deep" / "a.mp4")
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    with pytest.raises(DataError, match=r"a\.mp4 and .*deep/a\.mp4 would both write"):
        list(predict_clips(predictor, find_clips([folder]), out=folder / "out", formats=["json"]))
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [({"formats": ["srt"]}, ConfigError, "format 'srt'"), ({"tau": 2.0}, ConfigError, "no threshold")],
)
def test_what_no_clip_can_meet_is_refused_before_the_first(checkpoint, folder: Path, options, kind, says) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    with pytest.raises(kind, match=says):
        next(predict_clips(predictor, find_clips([folder]), **options))


def test_encoders_that_cannot_be_had_stop_everything(checkpoint, folder: Path) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(features={}), device="cpu")
    with pytest.raises(EncoderError, match="without a record"):
        next(predict_clips(predictor, find_clips([folder])))


def test_a_full_disk_is_told_of_each_clip_and_leaves_no_part(checkpoint, clip, tmp_path: Path, monkeypatch) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "flush", full)
    [outcome] = predict_clips(predictor, [clip(3)], out=tmp_path / "out", formats=["json"])
    assert "No space left on device" in outcome.error
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_told(checkpoint, folder: Path) -> None:
    (folder / "a.mp4").chmod(0)
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    [outcome] = predict_clips(predictor, [folder / "a.mp4"], formats=["table"])
    assert "a.mp4" in outcome.error


def test_an_out_that_is_a_file_is_refused(checkpoint, folder: Path) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu")
    with pytest.raises(DataError, match=r"notes\.txt: cannot be written"):
        next(predict_clips(predictor, [folder / "a.mp4"], out=folder / "notes.txt", formats=["json"]))
