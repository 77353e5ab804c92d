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


def test_files_of_a_folder_are_written_and_errors_come_last(predict, run: Path, clip, tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    shutil.copy(clip(3), folder / "good.mp4")
    (folder / "bad.mp4").write_text("no video")
    code, printed, err = predict(folder, "--checkpoint", run, "--out", out, "--format", "csv", "vtt", "eaf")
    assert code == 1 and printed.startswith(f"{folder / 'good.mp4'}: ") and printed.count("\n") == 1
    assert f"failed: {folder / 'bad.mp4'}" in err and "1 of 2 clips failed; the others are done" in err
    names = sorted(path.name for path in out.iterdir())
    assert names == ["good.eaf", "good.seconds.csv", "good.vtt"] and all(name in printed for name in names)


def test_encoders_without_a_record_are_used_with_a_warning(predict, checkpoint, clip) -> None:
    folder = checkpoint(features={"audio": "a.h5", "visual": "v.h5"})
    code, out, err = predict(clip(3), "--checkpoint", folder, "--visual", "signal", "width=16", "--audio", "signal",
                             "width=16")
    assert code == 0 and out.startswith("clip3.mp4") and err.startswith("warning: ") and "unchecked" in err


@pytest.mark.parametrize(("words", "word"), [
    (["--checkpoint", "{run}/absent"], "no such folder"),
    (["--checkpoint", "{run}", "--tau", "2"], "tau=2.0"),
    (["--checkpoint", "{run}", "--visual", "signal", "width=32"], "revision"),
    (["--checkpoint", "{run}", "--audio", "signal", "width"], "is not KEY=VALUE"),
    (["{run}/absent.mp4", "--checkpoint", "{run}"], "no such file or folder"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(predict, run: Path, clip, words: list[str], word: str) -> None:
    code, out, err = predict(clip(3), *(text.format(run=run) for text in words))
    assert code == 2 and not out and err.startswith("error: ") and word in err and err.count("\n") == 1


def test_labels_that_were_not_trained_replace_the_classes(predict, run: Path, clip, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("whistle\nthunder\n")
    code, out, _ = predict(clip(3), "--checkpoint", run, "--labels", tmp_path / "names.txt", "--top", 2)
    assert code == 0 and "whistle" in out and "thunder" in out and "bell" not in out


def test_an_interrupt_ends_with_exit_code_130(predict, run: Path, clip, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("avsgn_pyg.predictor.predict_clips", stop)
    code, out, err = predict(clip(3), "--checkpoint", run)
    assert code == 130 and not out and err.startswith("stopped") and "complete" in err
