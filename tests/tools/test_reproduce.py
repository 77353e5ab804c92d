"""The tool that makes a table, as a user runs it: finished, stopped, and with wrong options."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SUITE = """
title: Two rows
configs: {full: tiny.yaml}
reference: ours
rows:
- {name: ours, paper: {full: 83.1}}
- {name: wide, change: {model.dim: 32}}
"""


@pytest.fixture
def suite(config: Path) -> Path:
    path = config.with_name("two.yaml")
    path.write_text(SUITE)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_the_tool_prints_the_table_and_the_files(tool: ModuleType, suite: Path, out: Path, capsys):
    assert tool.main([str(suite), "--out", str(out), "--finished"]) == 0
    assert "0 of 2 runs finished, 0 of them now" in capsys.readouterr().out and not list(out.rglob("journal.jsonl"))


@pytest.mark.slow
def test_a_smoke_run_trains_one_epoch_of_every_row_into_a_folder_of_its_own(
    tool: ModuleType, suite: Path, out: Path, capsys
):
    assert tool.main([str(suite), "--smoke", "--out", str(out), "--jobs", "0"]) == 0
    printed, told = capsys.readouterr()
    assert "2 runs to train, 2 epochs" in told
    assert "## Two rows: full supervision, test" in printed and "2 of 2 runs finished, 2 of them now" in printed
    suffixes = ("md", "csv", "tex", "runs.csv", "videos.csv")
    assert printed.split()[-5:] == [str(out / "smoke" / f"two.{suffix}") for suffix in suffixes]
    assert (out / "smoke" / "two.md").read_text() in printed and [path.name for path in out.iterdir()] == ["smoke"]


def test_a_dry_run_says_how_long_it_takes_and_trains_nothing(tool: ModuleType, suite: Path, out: Path, capsys):
    assert tool.main([str(suite), "--out", str(out), "--dry-run", "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "full/wide/seed-2" in printed and "6 runs to train, 12 epochs: about" in printed and not out.exists()


def test_failures_end_in_exit_code_1(tool: ModuleType, suite: Path, out: Path, capsys):
    suite.write_text(SUITE.replace("{name: ours", "{name: ours, change: {model.cmgi.conv: none}"))
    assert tool.main([str(suite), "--rows", "ours", "--out", str(out), "--jobs", "0", "--quiet"]) == 1
    assert "failed: full/ours/seed-0" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "says"), [
    (["model.dim=8"], "row wide"), (["--rows", "absent"], "row absent"), (["--devices", "cuda:99"], "cuda:99"),
    pytest.param(["--engine", "ray"], "[cluster]",
                 marks=pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")),
])
def test_a_mistake_is_one_line_and_exit_code_2(
    tool: ModuleType, suite: Path, out: Path, capsys, arguments: list[str], says: str
):
    assert tool.main([str(suite), "--out", str(out), "--quiet", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and says in error


@pytest.mark.parametrize("options", [
    ["--seeds", "0"], ["--seeds", "1,1"], ["--seeds", "-1"], ["--seeds", "a"], ["--seeds", ","], ["--seeds", "1,,"],
    ["--shard", "0/8"], ["--shard", "9/8"], ["--shard", "2"], ["--shard", "a/b"], ["--jobs", "-1"],
    ["--engine", "ray", "--jobs", "2"], ["--engine", "ray", "--devices", "cpu"], ["--gpus", "0.5"], ["--cpus", "2"],
], ids=" ".join)
def test_wrong_options_are_refused(tool: ModuleType, options: list[str], capsys):
    with pytest.raises(SystemExit, match="2"):
        tool.parse(["suite.yaml", *options])
    assert options[-2] in capsys.readouterr().err


def test_seeds_and_shards_are_read(tool: ModuleType):
    for text, seeds in (("3", (0, 1, 2)), ("4,1", (4, 1)), ("3,", (3,))):
        assert tool.parse(["suite.yaml", "--seeds", text]).seeds == seeds
    assert tool.parse(["suite.yaml", "--shard", "2/8"]).shard == (2, 8)


@pytest.mark.slow
def test_a_table_is_made_on_a_disk_without_locks(
    tool: ModuleType, suite: Path, out: Path, environment: dict[str, str], without_locks: dict[str, str]
):
    command = [str(suite), "train.epochs=1", "--rows", "ours", "--out", str(out), "--quiet", "--jobs", "1"]
    done = subprocess.run([sys.executable, tool.__file__, *command], env={**without_locks, **environment}, text=True,
                          capture_output=True)
    assert done.returncode == 0 and "1 of 1 runs finished" in done.stdout, done.stderr
    assert done.stderr.count("no locks") == 1 and "Traceback" not in done.stderr
    assert not list(out.rglob("*.lease"))


def is_gone(group: int, patience: float) -> bool:
    """Whether no process of the group is left after some time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_table_that_was_stopped_resumes_with_the_same_command(
    tool: ModuleType, suite: Path, out: Path, environment: dict[str, str]
):
    journal = out / "full" / "ours" / "seed-0" / "journal.jsonl"

    def epochs() -> list[int]:
        return [json.loads(line)["epoch"] for line in journal.open()] if journal.exists() else []

    command = [str(suite), "train.epochs=20", "--rows", "ours", "--out", str(out), "--quiet"]
    # A session of its own, so that the interrupt reaches this tool and what it started, as from a terminal.
    process = subprocess.Popen([sys.executable, tool.__file__, *command], env=environment, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline and len(epochs()) < 2:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command resumes" in error and "Traceback" not in error
    assert is_gone(process.pid, patience=30.0) and 2 <= len(epochs()) < 20
    assert tool.main([*command, "--jobs", "0"]) == 0
    assert epochs() == [*range(1, 21)] and len(json.loads((journal.parent / "environment.json").read_text())) == 2
