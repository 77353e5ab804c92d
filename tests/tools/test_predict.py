"""The prediction tool as a user runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "predict.py"


def module_from(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


makers = module_from(ROOT / "tests" / "predictor" / "conftest.py", "predictor_makers")
clip, checkpoint, run = makers.clip, makers.checkpoint, makers.run


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout, stderr."""
    tool = module_from(TOOL, "predict_tool")
    return lambda *words: (tool.main([*map(str, words), "--device", "cpu"]), *capsys.readouterr())


def test_one_clip_is_printed_as_a_table_or_another_format(predict, run: Path, clip) -> None:
    code, out, err = predict(clip(3), "--checkpoint", run, "--top", 2, "--tau", 0.25)
    assert code == 0 and not err and out.startswith("clip3.mp4 | 3.0")
    assert "tau: 0.25" in out and "2 likeliest classes" in out and "7 s were added" in out
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


def test_nothing_is_said_to_be_done_where_every_clip_failed(predict, run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_text("no video")
    code, _, err = predict(tmp_path / "a.mp4", tmp_path / "b.mp4", "--checkpoint", run)
    assert code == 1 and err.endswith("2 of 2 clips failed\n")


def test_encoders_without_a_record_are_used_with_a_warning(predict, checkpoint, clip) -> None:
    folder = checkpoint(features={"audio": "a.h5", "visual": "v.h5"})
    code, out, err = predict(clip(3), "--checkpoint", folder, "--visual", "signal", "width=16", "--audio", "signal",
                             "width=16")
    assert code == 0 and out.startswith("clip3.mp4") and err.startswith("warning: ") and "unchecked" in err


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["--checkpoint", "{run}/absent"], "no such folder"),
        (["--checkpoint", "{run}", "--tau", "2"], "tau=2.0"),
        (["--checkpoint", "{run}", "--visual", "signal", "width=32"], "revision"),
        (["--checkpoint", "{run}", "--audio", "signal", "width"], "is not KEY=VALUE"),
        (["{run}/absent.mp4", "--checkpoint", "{run}"], "no such file or folder"),
        (["{run}", "--checkpoint", "{run}"], "no media file"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(predict, run: Path, clip, words: list[str], word: str) -> None:
    code, out, err = predict(clip(3), *(text.format(run=run) for text in words))
    assert code == 2 and not out and err.startswith("error: ") and word in err and err.count("\n") == 1


def test_labels_that_were_not_trained_replace_the_classes(predict, run: Path, clip, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("whistle\nthunder\n")
    code, out, _ = predict(clip(3), "--checkpoint", run, "--labels", tmp_path / "names.txt", "--top", 2)
    assert code == 0 and "whistle" in out and "thunder" in out and "bell" not in out


def test_no_class_to_show_is_refused(predict, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict("x.mp4", "--checkpoint", "y", "--top", "0")
    assert "--top" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupt_leaves_whole_files_and_exit_code_130(run: Path, clip, tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    for number in range(400):
        (folder / f"{number:03}.mp4").symlink_to(clip(3))
    words = [str(folder), "--checkpoint", str(run), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen([sys.executable, str(TOOL), *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(out.glob("*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped" in err and "Traceback" not in err
    written = list(out.iterdir())
    assert 0 < len(written) < 400
    assert all(len(json.loads(path.read_text())["seconds"]) == 3 for path in written)
