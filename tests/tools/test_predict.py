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
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "predict.py"


def module_from(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


makers = module_from(ROOT / "tests" / "predictor" / "conftest.py", "predictor_makers")
clip, checkpoint, run = makers.clip, makers.checkpoint, makers.run


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return module_from(TOOL, "predict_tool")


@pytest.fixture
def predict(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout, stderr."""

    def call(*words: Any) -> tuple[int, str, str]:
        code = tool.main([*map(str, words), "--device", "cpu"])
        return code, *capsys.readouterr()

    return call


def test_one_clip_is_a_table(predict, run: Path, clip) -> None:
    code, said, complained = predict(clip(3), "--checkpoint", run, "--top", 2, "--tau", 0.25)
    assert code == 0 and not complained
    assert said.startswith("clip3.mp4 | 3.0")
    assert "tau: 0.25" in said and "2 likeliest classes" in said and "7 s were added" in said


def test_another_form_is_all_that_is_printed(predict, run: Path, clip) -> None:
    code, said, _ = predict(clip(3), "--checkpoint", run, "--format", "json")
    assert code == 0 and len(json.loads(said)["seconds"]) == 3


def test_a_folder_is_written_and_bad_files_are_told_at_the_end(predict, run: Path, clip, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(clip(3), folder / "good.mp4")
    (folder / "bad.mp4").write_text("no video")
    out = tmp_path / "out"
    code, said, complained = predict(folder, "--checkpoint", run, "--out", out, "--format", "csv", "vtt", "eaf")
    assert code == 1
    assert said.startswith(f"{folder / 'good.mp4'}: ") and said.count("\n") == 1
    assert f"failed: {folder / 'bad.mp4'}" in complained and "1 of 2 clips failed; the others are done" in complained
    assert sorted(path.name for path in out.iterdir()) == ["good.eaf", "good.seconds.csv", "good.vtt"]


def test_nothing_is_said_to_be_done_where_every_clip_failed(predict, run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_text("no video")
    code, _, complained = predict(tmp_path / "a.mp4", tmp_path / "b.mp4", "--checkpoint", run)
    assert code == 1 and complained.endswith("2 of 2 clips failed\n")


def test_named_encoders_are_taken_with_a_warning(predict, checkpoint, clip) -> None:
    folder = checkpoint(features={"audio": "a.h5", "visual": "v.h5"})
    named = ("--visual", "signal", "width=16", "--audio", "signal", "width=16")
    code, said, complained = predict(clip(3), "--checkpoint", folder, *named)
    assert code == 0 and said.startswith("clip3.mp4")
    assert complained.startswith("warning: ") and "unchecked" in complained


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--checkpoint", "{run}/absent"], "no such folder"),
        (["--checkpoint", "{run}", "--tau", "2"], "tau=2.0 is no threshold"),
        (["--checkpoint", "{run}", "--visual", "signal", "width=32"], "has revision"),
        (["--checkpoint", "{run}", "--visual", "clip"], "'clip' was given"),
        (["--checkpoint", "{run}", "--audio", "signal", "width"], "is not KEY=VALUE"),
        (["{run}/absent.mp4", "--checkpoint", "{run}"], "no such file or folder"),
        (["{run}", "--checkpoint", "{run}"], "no media file"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(predict, run: Path, clip, words: list[str], says: str) -> None:
    code, said, complained = predict(clip(3), *(word.format(run=run) for word in words))
    assert code == 2 and not said
    assert complained.startswith("error: ") and says in complained and complained.count("\n") == 1


def test_labels_that_were_not_trained_take_the_classes_place(predict, run: Path, clip, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("whistle\nthunder\n")
    code, said, _ = predict(clip(3), "--checkpoint", run, "--labels", tmp_path / "names.txt", "--top", 2)
    assert code == 0 and "whistle" in said and "thunder" in said and "bell" not in said


def test_no_class_to_show_is_refused(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main(["x.mp4", "--checkpoint", "y", "--top", "0"])
    assert "one class at least" in capsys.readouterr().err


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
    _, complained = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped" in complained and "Traceback" not in complained
    written = list(out.glob("*.json"))
    assert 0 < len(written) < 400
    assert not list(out.glob(".*"))
    assert all(len(json.loads(path.read_text())["seconds"]) == 3 for path in written)
