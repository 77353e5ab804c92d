"""The prediction tool as a user runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def predict(load: Callable, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout, stderr."""
    tool = load("predict")
    return lambda *words: (tool.main([*map(str, words), "--device", "cpu"]), *capsys.readouterr())


def test_one_clip_is_printed_as_a_table_or_another_format(predict, run: Path, clip) -> None:
    code, out, err = predict(clip(3), "--checkpoint", run, "--top", 2, "--tau", 0.25)
    assert code == 0 and not err and out.startswith("clip3.mp4 | 3.0")
    assert "tau: 0.25" in out and "2 likeliest classes" in out and "7 s of padding" in out
    code, out, _ = predict(clip(3), "--checkpoint", run, "--format", "json")
    assert code == 0 and len(json.loads(out)["seconds"]) == 3


@pytest.mark.slow
def test_a_run_of_several_seeds_answers_together_or_by_some(predict, seeds: Path, clip) -> None:
    for words, source in (((), seeds), (("--seeds", "2,"), seeds / "seed-2" / "checkpoints" / "epoch-0001")):
        code, out, _ = predict(clip(3), "--checkpoint", seeds, *words, "--format", "json")
        assert code == 0 and json.loads(out)["checkpoint"] == str(source)
    code, _, err = predict(clip(3), "--checkpoint", seeds, "--seeds", 3)
    assert code == 2 and "has the seeds 0, 2, not the first 3" in err


SIGNAL = ("--visual", "signal", "--audio", "signal")


def test_labels_alone_localize_without_a_trained_model(predict, clip, tmp_path: Path) -> None:
    labels = ("--label", "dog barking", "--label", "violin")
    code, out, err = predict(clip(3), *labels, *SIGNAL, "--prompt", "audio={}", "--format", "json")
    found = json.loads(out)
    assert code == 0 and not err and found["checkpoint"] is None and len(found["seconds"]) == 3
    code, out, _ = predict(clip(3), clip(13), *labels, *SIGNAL, "--out", tmp_path)
    assert code == 0 and (tmp_path / "clip13.json").exists()
    assert "unchanged" in predict(clip(3), clip(13), *labels, *SIGNAL, "--out", tmp_path)[1]


@pytest.mark.parametrize(("words", "said"), [
    ((), "two or more labels"),
    (("--label", "dog"), "two or more labels"),
    (("--label", "dog", "--label", "cat", "--calibrate", "gone.h5"), "gone.h5"),
    (("--label", "dog", "--labels", "names.txt"), "not both"),
    (("--checkpoint", "runs/x", "--prompt", "audio={}"), "--prompt"),
])
def test_without_a_model_labels_are_needed_and_with_one_no_calibration(predict, clip, words: tuple, said: str) -> None:
    code, _, err = predict(clip(3), *words)
    assert code == 2 and said in err


def test_files_of_a_folder_are_written_and_errors_come_last(predict, run: Path, clip, tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    shutil.copy(clip(3), folder / "good.mp4")
    (folder / "bad.mp4").write_text("no video")
    code, printed, err = predict(folder, "--checkpoint", run, "--out", out, "--format", "csv,vtt,eaf")
    assert code == 1 and printed.startswith(f"{folder / 'good.mp4'}: ") and printed.count("\n") == 1
    assert f"failed: {folder / 'bad.mp4'}" in err and "1 of 2 clips failed" in err
    names = sorted(path.name for path in out.glob("[!.]*"))
    assert names == ["good.eaf", "good.seconds.csv", "good.vtt", "index.html", "predictions.jsonl", "summary.csv"]
    assert all(name in printed for name in names[:3])
    code, printed, _ = predict(folder, "--checkpoint", run, "--out", out, "--format", "csv,vtt,eaf")
    assert code == 1 and "unchanged" in printed


def test_a_sound_beside_its_video_and_files_that_are_no_media_are_noted(predict, run, clip, tmp_path: Path) -> None:
    for name in ("a.mp4", "a.wav", "b.wav"):
        shutil.copy(clip(3, picture=name.endswith("mp4")), tmp_path / name)
    (tmp_path / "a.txt").touch()
    code, out, err = predict(tmp_path, "--checkpoint", run)
    assert code == 0 and out.count(" | tau: ") == 2 and "a.wav is left out" in err and "1 .txt" in err


@pytest.mark.slow
def test_files_that_a_prediction_wrote_are_no_clips(predict, run: Path, clip, tmp_path: Path) -> None:
    shutil.copy(clip(3), tmp_path / "a.mp4")
    words = (tmp_path, "--checkpoint", run, "--out", tmp_path, "--cut", "--tau", 0)
    assert predict(*words)[0] == 0 and (tmp_path / "a.event-1.mp4").is_file()
    code, out, _ = predict(*words)
    assert code == 0 and out.count("unchanged") == len(out.splitlines()) == 1


def test_encoders_without_a_record_are_used_with_a_warning(predict, checkpoint, clip) -> None:
    folder = checkpoint(features={"audio": "a.h5", "visual": "v.h5"})
    code, out, err = predict(clip(3), "--checkpoint", folder, "--visual", "signal", "width=16", "--audio", "signal",
                             "width=16")
    assert code == 0 and out.startswith("clip3.mp4") and err.startswith("warning: ") and "unchecked" in err


@pytest.mark.parametrize(("words", "word"), [
    (["--checkpoint", "{run}", "--tau", "2"], "--tau 2.0"),
    (["--checkpoint", "{run}", "--visual", "signal", "width=32"], "revision"),
    (["--checkpoint", "{run}", "--audio", "signal", "--audio", "width"], "is not KEY=VALUE"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(predict, run: Path, clip, words: list[str], word: str) -> None:
    code, out, err = predict(clip(3), *(text.format(run=run) for text in words))
    assert code == 2 and not out and err.startswith("error: ") and word in err and err.count("\n") == 1


def test_labels_that_were_not_trained_replace_the_classes(predict, run: Path, clip, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("whistle\nthunder\n")
    code, out, _ = predict(clip(3), "--checkpoint", run, "--labels", tmp_path / "names.txt", "--top", 2)
    assert code == 0 and "whistle" in out and "thunder" in out and "bell" not in out
    code, again, _ = predict(clip(3), "--checkpoint", run, "--label", "Race car, auto racing", "--label", "thunder")
    assert code == 0 and "Race car, auto racing" in again
    code, _, err = predict(clip(3), "--checkpoint", run, "--label", "thunder")
    assert code == 2 and "two or more labels" in err
