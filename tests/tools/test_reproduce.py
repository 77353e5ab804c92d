"""The tool that makes a table, as a user runs it: finished, stopped, and with wrong options."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "reproduce.py"

CONFIG = """
name: tiny
data: {kind: synthetic, synthetic: {videos: 40, classes: 3, width: 16}}
model: {dim: 16}
train: {epochs: 2, batch_size: 8, device: cpu, threads: 1}
evaluate: {bootstrap: 50}
"""
SUITE = """
title: Two rows
configs: {full: tiny.yaml}
reference: ours
rows:
- {name: ours, paper: {full: 83.1}}
- {name: wide, change: {model.dim: 32}}
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproduce_tool", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    (tmp_path / "two.yaml").write_text(SUITE)
    return tmp_path / "two.yaml"


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_tool_prints_the_table_and_the_files(tool: ModuleType, suite: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert tool.main([str(suite), "train.epochs=1", "--out", str(out), "--jobs", "0", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "## Two rows: full supervision, test" in printed and "2 of 2 runs finished, 2 of them now" in printed
    suffixes = ("md", "csv", "tex", "runs.csv", "videos.csv")
    assert printed.split()[-5:] == [str(out / f"two.{suffix}") for suffix in suffixes]
    assert (out / "two.md").read_text() in printed


def test_finished_alone_trains_nothing(tool: ModuleType, suite: Path, tmp_path: Path, capsys):
    assert tool.main([str(suite), "--out", str(tmp_path / "out"), "--finished"]) == 0
    assert "0 of 2 runs finished, 0 of them now" in capsys.readouterr().out
    assert not list(tmp_path.rglob("journal.jsonl"))


def test_failures_end_in_exit_code_1(tool: ModuleType, suite: Path, tmp_path: Path, capsys):
    suite.write_text(SUITE.replace("model.dim: 32", "model.cmgi.conv: none"))
    asked = [str(suite), "model.dim=8", "--rows", "wide", "--out", str(tmp_path / "out"), "--jobs", "0", "--quiet"]
    assert tool.main([*asked, "train.epochs=1"]) == 1
    assert "failed: full/wide/seed-0" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "says"), [
    (["{suite}x"], "did you mean"),
    (["{suite}", "model.dim=8"], "row wide"),
    (["{suite}", "--rows", "absent"], "row absent"),
    (["{suite}", "--devices", "cuda:99", "--out", "{out}"], "cuda:99"),
    pytest.param(["{suite}", "--engine", "ray", "--out", "{out}"], "[cluster]",
                 marks=pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")),
])
def test_a_mistake_is_one_line_and_exit_code_2(
    tool: ModuleType, suite: Path, tmp_path: Path, capsys, arguments: list[str], says: str
):
    assert tool.main([argument.format(suite=suite, out=tmp_path / "out") for argument in arguments]) == 2
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


def journals(out: Path) -> dict[str, list[int]]:
    return {path.parent.relative_to(out).as_posix(): [json.loads(line)["epoch"] for line in path.open()]
            for path in sorted(out.rglob("journal.jsonl"))}


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
def test_a_table_that_was_stopped_resumes_with_the_same_command(suite: Path, tmp_path: Path):
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(TOOL), str(suite), "train.epochs=20", "--out", str(out), "--quiet"]
    # A session of its own, so that the interrupt reaches this tool and what it started, as from a terminal.
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline and len(journals(out).get("full/ours/seed-0", ())) < 2:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command resumes" in error and "Traceback" not in error
    assert is_gone(process.pid, patience=30.0)
    assert 2 <= len(journals(out)["full/ours/seed-0"]) < 20
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr
    assert journals(out) == {f"full/{row}/seed-0": [*range(1, 21)] for row in ("ours", "wide")}
    starts = {path.parent.relative_to(out).as_posix(): len(json.loads(path.read_text()))
              for path in out.rglob("environment.json")}
    assert starts == {"full/ours/seed-0": 2, "full/wide/seed-0": 1}
