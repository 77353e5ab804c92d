"""The extraction tool as a user runs it, and as a kill leaves it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from avsgn_pyg.data.feature_store import read_store

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "extract_features.py"
SIGNAL = ["--visual", "signal", "--audio", "signal", "--segments", "2", "--device", "cpu"]
VIDEOS = 24


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load(TOOL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen videos that are four clips, and their annotations."""
    root = tmp_path_factory.mktemp("ave")
    (root / "videos").mkdir()
    make = load(ROOT / "tests" / "features" / "conftest.py").make
    clips = [make(root / f"{n}.mp4", seconds=2.0, size=(64, 48), audio_from=0.2 * n) for n in range(4)]
    for number in range(VIDEOS):
        shutil.copy(clips[number % 4], root / "videos" / f"v{number:02}.mp4")
    lines = [f"class {number % 3}&v{number:02}&good&0&2" for number in range(VIDEOS)]
    (root / "Annotations.txt").write_text("\n".join(lines))
    return root


def words(root: Path, out: Path, *more: str) -> list[str]:
    return [str(root / "videos"), "--annotations", str(root / "Annotations.txt"), "--out", str(out), *SIGNAL, *more]


@pytest.mark.slow
def test_a_killed_run_goes_on_without_doing_anything_again_and_ends_the_same(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out, parts = tmp_path / "whole.h5", tmp_path / "f.h5", tmp_path / "f.h5.parts"
    assert tool.main(words(made, whole, "--workers", "0", "--quiet")) == 0
    # Two frames a batch, so a video a part.
    command = [sys.executable, str(TOOL), *words(made, out, "--workers", "1", "--batch-size", "2")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(list(parts.glob("part-*.npz"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = {path: path.read_bytes() for path in parts.glob("part-*.npz")}
    finished = {key for path in kept for key in np.load(path)["ids"].tolist()}
    assert 3 <= len(finished) < VIDEOS and not out.exists()

    capsys.readouterr()
    assert tool.main(words(made, out, "--workers", "0", "--quiet")) == 0
    said = capsys.readouterr().out
    assert int(re.search(r"encoded now: (\d+)", said)[1]) == VIDEOS - len(finished)
    one, two = read_store(whole), read_store(out)
    torch.testing.assert_close(one.audio, two.audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.visual, two.visual, rtol=0, atol=1e-6)
    assert (one.video_ids, one.provenance) == (two.video_ids, two.provenance) and torch.equal(one.rows, two.rows)
    assert not parts.exists()


def test_a_bar_shows_the_rate_and_the_time_left(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(words(made, tmp_path / "f.h5", "--workers", "0")) == 0
    said = capsys.readouterr()
    assert "24 videos in 24 entries" in said.out
    assert re.search(r"extract: .*24/24 \[\d\d:\d\d<\d\d:\d\d, .*(video/s|s/video)", said.err)


def test_a_bad_file_is_printed_with_its_reason_and_matters_to_the_exit_code_only_if_asked(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(made / "videos" / "v00.mp4", tmp_path / "videos")
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"nothing")
    given = [str(tmp_path / "videos"), "--out", str(tmp_path / "f.h5"), *SIGNAL, "--workers", "0", "--quiet"]
    assert tool.main(given) == 0
    assert "  bad: not a media file" in capsys.readouterr().out
    assert tool.main([*given, "--strict"]) == 1
    (tmp_path / "videos" / "v00.mp4").write_bytes(b"nothing")
    assert tool.main([*given, "--overwrite"]) == 2
    assert "error: none of 2 videos could be encoded" in capsys.readouterr().err


def test_a_verification_passes_on_its_own_videos_and_fails_on_others(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(made, tmp_path / "ave")
    given = words(tmp_path / "ave", tmp_path / "f.h5", "--workers", "0", "--quiet")
    assert tool.main(given) == 0
    assert tool.main([*given, "--verify", "3"]) == 0
    assert "encoded again: 3 videos\npass  audio: least cosine 1.000000" in capsys.readouterr().out
    unnamed = [word for word in given if word not in ("--visual", "--audio", "signal")]
    assert tool.main([*unnamed, "--verify", "1", "--download"]) == 0  # the store names its encoders
    shutil.copy(made / "videos" / "v03.mp4", tmp_path / "ave" / "videos" / "v00.mp4")
    assert tool.main([*given, "--verify", "3"]) == 1
    assert "FAIL  audio: least cosine" in capsys.readouterr().out


def test_shards_join_to_what_one_process_makes(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--workers", "0", "--quiet"]
    assert tool.main(words(made, tmp_path / "whole.h5", *given)) == 0
    for number in "123":
        assert tool.main(words(made, tmp_path / "f.h5", *given, "--shard", f"{number}/3")) == 0
    merging = load(ROOT / "tools" / "merge_features.py")
    shards = [str(tmp_path / f"f.{number}-of-3.h5") for number in "312"]
    assert merging.main([str(tmp_path / "f.h5"), *shards]) == 0
    one, two = read_store(tmp_path / "whole.h5"), read_store(tmp_path / "f.h5")
    torch.testing.assert_close(one.audio, two.audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.visual, two.visual, rtol=0, atol=1e-6)
    assert (one.video_ids, one.provenance) == (two.video_ids, two.provenance) and torch.equal(one.rows, two.rows)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--shard", "0/2"], "numbers from 1"),
        (["--tokenizer", "x"], "has no option 'tokenizer'"),
        (["--visual-options", "width=4"], "width=4"),
        (["--device", "abacus"], "device=abacus"),
        (["--labels", "absent.txt"], "absent.txt: cannot be read"),
        (["--verify"], "no such file"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    assert tool.main(words(made, tmp_path / "f.h5", *more)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and says in said
    assert not list(tmp_path.iterdir())
