"""Prediction of many clips: errors of single clips are reported, and the others are predicted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import ConfigError, DataError, EncoderError
from avsgn_pyg.predictor import Predictor, find_clips, predict_clips


@pytest.fixture
def folder(clip, tmp_path: Path) -> Path:
    """Two good clips around a damaged one."""
    place = tmp_path / "clips"
    (place / "deep").mkdir(parents=True)
    shutil.copy(clip(3), place / "a.mp4")
    (place / "b.mp4").write_text("no video at all")
    shutil.copy(clip(3), place / "deep" / "c.mp4")
    (place / "notes.txt").write_text("not media")
    return place


def test_a_damaged_file_does_not_stop_the_others(predictor, folder: Path, tmp_path: Path) -> None:
    out, clips = tmp_path / "out", find_clips([folder])
    found = dict(predict_clips(predictor, clips, out=out, formats=["json", "vtt"]))
    assert list(found) == clips and [path.name for path in clips] == ["a.mp4", "b.mp4", "c.mp4"]
    error = found[folder / "b.mp4"]
    assert isinstance(error, DataError) and str(error).startswith(str(folder / "b.mp4"))
    assert json.loads((out / "c.json").read_text()) == found[folder / "deep" / "c.mp4"].as_dict()
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.vtt", "c.json", "c.vtt"]


def test_folders_are_searched_and_files_taken_as_they_are(folder: Path) -> None:
    found = find_clips([folder / "notes.txt", folder, folder / "a.mp4"])
    assert [path.name for path in found] == ["notes.txt", "a.mp4", "b.mp4", "c.mp4"]


def test_no_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.mp4"):
        find_clips([tmp_path / "absent.mp4"])
    with pytest.raises(DataError, match="no media file"):
        find_clips([tmp_path])


def test_two_clips_of_one_output_are_refused_before_the_first(predictor, folder: Path, clip) -> None:
    shutil.copy(clip(3), folder / "deep" / "a.mp4")
    with pytest.raises(DataError, match=r"a\.mp4 and .*deep/a\.mp4 would both write"):
        next(predict_clips(predictor, find_clips([folder]), out=folder / "out", formats=["json"]))
    assert not (folder / "out").exists()


@pytest.mark.parametrize(("options", "kind", "word"), [
    ({"formats": ["srt"]}, ConfigError, "srt"), ({"tau": 2.0}, ConfigError, "tau=2.0"),
    ({"out": "notes.txt"}, DataError, r"notes\.txt: cannot be written"),
])
def test_unusable_settings_are_refused_before_the_first(predictor, folder: Path, options, kind, word) -> None:
    options = options | ({"out": folder / options["out"]} if "out" in options else {})
    with pytest.raises(kind, match=word):
        next(predict_clips(predictor, find_clips([folder]), **options))


def test_unavailable_encoders_stop_everything(checkpoint, folder: Path) -> None:
    model = Predictor.from_checkpoint(checkpoint(features={}), device="cpu")
    with pytest.raises(EncoderError, match="record"):
        next(predict_clips(model, find_clips([folder])))
