"""The training tool as a user runs it: a process that can be killed, and several at once."""

from __future__ import annotations

import importlib.util
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
from safetensors.torch import load_file

from avsgn_pyg.engine.journal import read_journal
from avsgn_pyg.engine.run_folder import RunFolder, find_checkpoint

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "train.py"

CONFIG = """
name: r
data: {kind: synthetic, synthetic: {videos: 40, classes: 3, width: 16}}
model: {dim: 16}
train: {epochs: 2, batch_size: 8, device: cpu, threads: 1}
evaluate: {bootstrap: 50}
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    run = RunFolder(folder)
    assert run.index is not None
    assert run.index.finished == "epochs"
    return load_file(run.checkpoints / run.index.last / "model.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_tool_prints_a_table_and_every_path_that_it_wrote(
    tool: ModuleType, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([str(config), f"run_dir={tmp_path}", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "segment accuracy" in printed
    assert "(synthetic)" in printed
    assert f"\n{tmp_path / 'r'}/\n" in printed
    named = {line.strip() for line in printed.split(f"{tmp_path / 'r'}/\n")[1].splitlines()}
    assert {"config.yaml", "journal.jsonl", "evaluation-test/predictions.csv", "evaluation-test/confusion.png"} <= named
    assert all((tmp_path / "r" / path).exists() for path in named)


def test_a_first_word_with_an_equals_sign_is_a_setting(tool: ModuleType) -> None:
    options = tool.parse(["train.epochs=1", "--quiet", "name=x"])
    assert (options.config, options.overrides, options.quiet) == (None, ["train.epochs=1", "name=x"], True)


def test_a_resumed_run_brings_its_own_config(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        tool.parse(["--resume", "runs/x", "other.yaml"])
    assert stop.value.code == 2
    assert "takes its config from RUN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.epoch=3", "did you mean train.epochs?"),
        ("train.precision=fp16", "needs a GPU"),
        ("train.early_stop=2 train.select=last", "train.early_stop=2 needs a split"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: ModuleType,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    override: str,
    says: str,
) -> None:
    assert tool.main([str(config), *override.split(), f"run_dir={tmp_path / 'runs'}", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
    assert not (tmp_path / "runs").exists()


def test_control_c_says_how_to_continue(
    tool: ModuleType,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool.recipes, "train", interrupt)
    assert tool.main([str(config), f"run_dir={tmp_path}", "--quiet"]) == 130
    assert "--resume" not in capsys.readouterr().err  # nothing was written
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.yaml").touch()
    assert tool.main([str(config), f"run_dir={tmp_path}", "--quiet"]) == 130
    assert f"--resume {tmp_path / 'r'}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_killed_with_sigkill_ends_with_the_weights_of_one_that_was_not(
    tool: ModuleType, config: Path, tmp_path: Path
) -> None:
    recipe = [
        "train.epochs=5",
        "train.batch_size=4",
        "train.checkpoint_every=2",
        "train.ema=0.9",
        "train.augment.noise=0.1",
        "train.augment.time_flip=0.5",
    ]
    process = subprocess.Popen(
        [sys.executable, str(TOOL), str(config), *recipe, f"run_dir={tmp_path / 'killed'}", "--quiet"],
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    killed = RunFolder(tmp_path / "killed" / "r")
    limit = time.monotonic() + 120
    # Three lines and a checkpoint after the second: the third epoch is lost, and so is a part of the fourth.
    while len(killed.journal.read_text().splitlines() if killed.journal.exists() else ()) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.002)
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert killed.index is not None
    assert killed.index.finished is None
    assert len(read_journal(killed.journal)) < 5

    assert tool.main(["--resume", str(killed.path), "--quiet"]) == 0
    assert tool.main([str(config), *recipe, f"run_dir={tmp_path / 'whole'}", "--quiet"]) == 0
    whole = RunFolder(tmp_path / "whole" / "r")
    assert_same(weights(killed.path), weights(whole.path))
    assert killed.index == whole.index
    assert_same(*(load_file(find_checkpoint(run.path) / "model.safetensors") for run in (killed, whole)))
    assert [line["epoch"] for line in read_journal(killed.journal)] == list(range(1, 6))


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_train_one_model_and_one_of_them_writes(
    tool: ModuleType, config: Path, tmp_path: Path
) -> None:
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node=2",
            "--master-port=0",
            "--rdzv-backend=c10d",
            "--rdzv-endpoint=localhost:0",
            str(Path(__file__).with_name("two_processes.py")),
            str(config),
            f"run_dir={tmp_path}",
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    assert_same(first, second)
    run = RunFolder(tmp_path / "r")
    lines = read_journal(run.journal)
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 4), (2, 8)]
    assert_same(first, weights(run.path))
    assert len(list((run.path / "tensorboard").iterdir())) == 1
