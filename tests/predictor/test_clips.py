"""Prediction of many clips: a failure of one is reported, and the others are predicted."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import ConfigError, DataError, EncoderError
from avsgn_pyg.predictor import Predictor, encoding, find_clips, predict_clips


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


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("[!.]*"))


def test_a_damaged_file_does_not_stop_the_others(predictor, folder: Path, tmp_path: Path) -> None:
    out, clips = tmp_path / "out", find_clips([folder])
    found = {result.clip: result for result in predict_clips(predictor, clips, out=out, formats=["json", "vtt"])}
    assert list(found) == clips and [path.name for path in clips] == ["a.mp4", "b.mp4", "c.mp4"]
    error = found[folder / "b.mp4"].error
    assert isinstance(error, DataError) and str(error).startswith(str(folder / "b.mp4"))
    good = found[folder / "deep" / "c.mp4"]
    assert good.files == (out / "c.json", out / "c.vtt")
    assert "c.json" in good.summary and "failed: " in found[folder / "b.mp4"].summary
    assert json.loads(good.files[0].read_text()) == good.prediction.as_dict()
    assert names(out) == ["a.json", "a.vtt", "c.json", "c.vtt", "index.html", "predictions.jsonl",
                          "summary.csv"]
    assert "b.mp4,,,," in (out / "summary.csv").read_text()


@pytest.mark.parametrize("kind", [IndexError, MemoryError, RuntimeError, OSError])
def test_whatever_one_clip_raises_the_others_are_done(predictor, folder: Path, tmp_path, monkeypatch, kind) -> None:
    def read_seconds(path: Path, **options):
        if path.name == "a.mp4":
            raise kind("a defect")
        return original(path, **options)

    original = encoding.read_seconds
    monkeypatch.setattr(encoding, "read_seconds", read_seconds)
    first, second, third = predict_clips(predictor, find_clips([folder]), out=tmp_path / "out", formats=["json"])
    assert isinstance(first.error, DataError) and "a.mp4" in str(first.error) and "a defect" in str(first.error)
    assert second.error and third.prediction


@pytest.mark.slow
def test_a_second_run_predicts_what_failed_or_changed_and_nothing_else(predictor, folder: Path, clip, tmp_path) -> None:
    def run(**options):
        results = predict_clips(predictor, find_clips([folder]), out=tmp_path / "out", formats=["json"], **options)
        return {result.clip.name: "failed" if result.error else "kept" if result.prediction is None else "predicted"
                for result in results}

    assert run() == {"a.mp4": "predicted", "b.mp4": "failed", "c.mp4": "predicted"}
    shutil.copy(clip(3), folder / "b.mp4")
    assert run() == {"a.mp4": "kept", "b.mp4": "predicted", "c.mp4": "kept"}
    (tmp_path / "out" / "a.json").write_text("corrected by hand")
    assert run() == {"a.mp4": "failed", "b.mp4": "kept", "c.mp4": "kept"}
    assert (tmp_path / "out" / "a.json").read_text() == "corrected by hand"
    assert set(run(tau=0.1).values()) == {"failed"}
    assert set(run(tau=0.1, overwrite=True).values()) == {"predicted"}


def test_what_is_predicted_before_an_interrupt_is_kept(predictor, folder: Path, tmp_path) -> None:
    results = predict_clips(predictor, find_clips([folder]), out=tmp_path / "out", formats=["json"])
    next(results)
    results.close()
    assert names(tmp_path / "out") == ["a.json", "index.html", "predictions.jsonl", "summary.csv"]
    again = predict_clips(predictor, find_clips([folder]), out=tmp_path / "out", formats=["json"])
    assert [bool(result.prediction) for result in again] == [False, False, True]


@pytest.mark.slow
def test_clips_of_one_stem_have_files_of_their_own(predictor, folder: Path, clip, tmp_path: Path) -> None:
    shutil.copy(clip(3), folder / "deep" / "a.mp4")
    found = [result.files for result in predict_clips(predictor, find_clips([folder]), out=tmp_path, formats=["json"])]
    assert found == [(tmp_path / "a.json",), (), (tmp_path / "deep__a.json",), (tmp_path / "c.json",)]


def test_a_clip_whose_name_is_no_text_is_predicted(predictor, clip, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(clip(3), path)
    (found,) = predict_clips(predictor, [path], out=tmp_path / "out", formats=["json", "eaf", "table"])
    assert found.error is None and len(found.files) == 3
    assert all(file.name.isascii() and file.read_text(encoding="utf-8") for file in found.files)


def test_what_is_noted_of_a_clip_is_in_its_line(predictor, clip, tmp_path: Path) -> None:
    paths = [clip(3, sound=False), clip(3)]
    silent, whole = predict_clips(predictor, paths, out=tmp_path, formats=["json"], tau=0.0)
    assert "(note: no sound in this file" in silent.summary and "[no sound]" in silent.summary
    assert "(note" not in whole.summary
    (again, _) = predict_clips(predictor, paths, out=tmp_path, formats=["json"], tau=0.0)
    assert "unchanged" in again.summary


def test_a_summary_of_somebody_else_is_kept_and_told(predictor, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "summary.csv").write_text("mine")
    *_, last = predict_clips(predictor, [folder / "a.mp4"], out=tmp_path, formats=["json"])
    assert "summary.csv" in str(last.error) and (tmp_path / "summary.csv").read_text() == "mine"


def test_folders_are_searched_and_files_taken_as_they_are(folder: Path) -> None:
    found = find_clips([folder / "notes.txt", folder, folder / "a.mp4"])
    assert [path.name for path in found] == ["notes.txt", "a.mp4", "b.mp4", "c.mp4"]


def test_no_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.mp4"):
        find_clips([tmp_path / "absent.mp4"])
    with pytest.raises(DataError, match="no media file"):
        find_clips([tmp_path])


@pytest.mark.parametrize(("options", "kind", "word"), [
    ({"formats": ["mp3"]}, ConfigError, "mp3"), ({"tau": 2.0}, ConfigError, "tau=2.0"),
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
