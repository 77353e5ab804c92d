"""The extraction tools as a user runs them, and as a kill leaves them."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from avsgn_pyg.data.feature_store import read_store

Load = Callable[[str], ModuleType]
SIGNAL = ["--visual", "signal", "--audio", "signal", "--segments", "2", "--device", "cpu"]
VIDEOS = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    """A dozen videos, copies of four clips, and their annotations."""
    root = tmp_path_factory.mktemp("ave")
    (root / "videos").mkdir()
    clips = [make_clip(root / f"{n}.mp4", seconds=2.0, size=(64, 48), audio_from=0.2 * n) for n in range(4)]
    for number in range(VIDEOS):
        shutil.copy(clips[number % 4], root / "videos" / f"v{number:02}.mp4")
    lines = [f"class {number % 3}&v{number:02}&good&0&2" for number in range(VIDEOS)]
    (root / "Annotations.txt").write_text("\n".join(lines))
    return root


def words(root: Path, out: Path, *more: str) -> list[str]:
    return [str(root / "videos"), "--annotations", str(root / "Annotations.txt"), "--out", str(out), *SIGNAL, *more]


def same(one: Path, two: Path) -> bool:
    first, second = read_store(one), read_store(two)
    equal = all(torch.equal(getattr(first, key), getattr(second, key)) for key in ("audio", "visual", "rows"))
    return equal and (first.video_ids, first.provenance) == (second.video_ids, second.provenance)


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_bit_identical(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two frames a batch, so one video a part.
    given = [made, tmp_path / "f.h5", "--batch-size", "2", "--quiet", "--workers"]
    parts = tmp_path / "f.h5.parts"
    process = subprocess.Popen([sys.executable, tool.__file__, *words(*given, "1")], stderr=subprocess.DEVNULL)
    while len(list(parts.glob("part-*.pt"))) < 2 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = len(list(parts.glob("part-*.pt")))
    assert 2 <= finished < VIDEOS and not (tmp_path / "f.h5").exists()
    assert tool.main(words(*given, "0")) == 0
    assert f"encoded now: {VIDEOS - finished}\n" in capsys.readouterr().out
    assert tool.main(words(made, tmp_path / "whole.h5", *given[2:], "0")) == 0
    assert same(tmp_path / "whole.h5", tmp_path / "f.h5") and not parts.exists()


@pytest.mark.slow
def test_a_disk_without_locks_gives_the_same_store_also_after_a_kill(
    tool: ModuleType, made: Path, tmp_path: Path, without_locks: dict[str, str]
) -> None:
    given = [made, tmp_path / "f.h5", "--batch-size", "2", "--quiet", "--workers", "0"]
    parts, command = tmp_path / "f.h5.parts", [sys.executable, tool.__file__, *words(*given)]
    first = subprocess.Popen(command, env=without_locks, stderr=subprocess.PIPE, text=True)
    while len(list(parts.glob("part-*.pt"))) < 2 and first.poll() is None:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)  # so that it is not done before the second begins
    second = subprocess.run(command, env=without_locks, stderr=subprocess.PIPE, text=True)
    assert second.returncode == 2 and f"process {first.pid} on" in second.stderr
    first.kill()
    assert first.communicate()[1].count("no locks") == 1
    third = subprocess.run(command, env=without_locks, stderr=subprocess.PIPE, text=True)
    assert third.returncode == 0 and "taken over" in third.stderr
    assert tool.main(words(made, tmp_path / "whole.h5", *given[2:])) == 0
    assert same(tmp_path / "whole.h5", tmp_path / "f.h5") and not parts.exists()


def test_a_planted_lock_is_refused_and_its_target_kept(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "f.h5.parts").mkdir()
    (tmp_path / "f.h5.parts" / "lock").symlink_to(tmp_path / "victim")
    (tmp_path / "g.h5.parts").symlink_to(tmp_path / "f.h5.parts")
    for name in "fg":
        assert tool.main(words(made, tmp_path / f"{name}.h5", "--workers", "0", "--quiet", "--overwrite")) == 2
        assert "symbolic link" in capsys.readouterr().err
    assert (tmp_path / "victim").read_text() == "kept" and not (tmp_path / "f.h5").exists()


def test_a_bar_shows_the_rate_and_the_time_left(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main(words(made, tmp_path / "f.h5", "--workers", "0")) == 0
    said = capsys.readouterr()
    assert "12 videos in 12 entries" in said.out
    assert tool.main(words(made, tmp_path / "f.h5", "--workers", "0", "--quiet", "--verify", "3")) == 0
    assert "encoded again: 3 videos\npass  audio: least cosine 1.000000" in capsys.readouterr().out
    assert re.search(r"extract: .*12/12 \[\d\d:\d\d<\d\d:\d\d, .*(video/s|s/video)", said.err)


def test_a_bad_file_is_printed_with_its_reason_and_changes_the_exit_code(
    tool: ModuleType, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(made / "videos" / "v00.mp4", tmp_path / "videos")
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"nothing")
    given = [str(tmp_path / "videos"), "--out", str(tmp_path / "f.h5"), *SIGNAL, "--workers", "0", "--quiet"]
    assert tool.main(given) == 1
    assert "  bad: not a media file" in capsys.readouterr().out
    (tmp_path / "videos" / "v00.mp4").write_bytes(b"nothing")
    assert tool.main([*given, "--overwrite"]) == 1
    assert "error: none of 2 videos" in capsys.readouterr().err


def test_ids_without_a_file_change_the_exit_code_on_request(tool: ModuleType, made: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("v00\ngone\n")
    given = [str(made / "videos"), "--out", str(tmp_path / "f.h5"), *SIGNAL, "--workers", "0", "--quiet",
             "--ids", str(tmp_path / "ids.txt")]
    assert (tool.main(given), tool.main([*given, "--strict"])) == (0, 1)


@pytest.mark.slow
def test_shards_join_to_what_one_process_makes(tool: ModuleType, made: Path, tmp_path: Path, load: Load) -> None:
    given = ["--workers", "0", "--quiet", "--batch-size", "2"]
    assert tool.main(words(made, tmp_path / "whole.h5", *given)) == 0
    for number in "12":
        assert tool.main(words(made, tmp_path / "f.h5", *given, "--shard", f"{number}/2")) == 0
    shards = [str(tmp_path / f"f.{number}-of-2.h5") for number in "21"]
    assert load("merge_features").main([str(tmp_path / "f.h5"), *shards]) == 0
    assert same(tmp_path / "whole.h5", tmp_path / "f.h5")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--shard", "0/2"], "numbers from 1"),
        (["--tokenizer", "x"], "'tokenizer'"),
        (["--visual-options", "width=4"], "width=4"),
        (["--device", "abacus"], "--device abacus"),
        (["--deadline", "0"], "deadline"),
        (["--labels", "absent.txt"], "absent.txt"),
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


def test_the_benchmark_prints_three_timings_and_their_ratios(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], load: Load
) -> None:
    tool = load("benchmark_extraction")
    given = ["--count", "2", "--segments", "2", "--workers", "0", "--rounds", "1", "--threads", "1", "--device", "cpu"]
    assert tool.main([str(made / "videos"), *given]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 videos, medians of 1 rounds\n")
    rows = ("decoding  ", "encoding  ", "extraction  ", "slower half: ", "both halves in turn: ")
    assert all(row in said for row in rows)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    assert tool.main([str(tmp_path), *given]) == 2
    assert "bad: not a media file" in capsys.readouterr().err
