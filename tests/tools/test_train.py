"""The training tool as a user runs it: a process that can be killed, and several at once."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from avsgn_pyg.engine.journal import read_journal
from avsgn_pyg.engine.run_folder import RunFolder, find_checkpoint

Weights = dict[str, torch.Tensor]


def last(run: RunFolder) -> Weights:
    assert run.index is not None and run.index.finished == "epochs"
    return load_file(run.last / "model.safetensors")


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_tool_prints_a_table_the_folder_of_the_run_and_a_next_command(
    tool: ModuleType, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "my runs"
    assert tool.main([str(config), "train.epochs=1", "evaluate.split=val", f"run_dir={runs}", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "segment accuracy" in printed and "(synthetic)" in printed
    place, command = printed.splitlines()[-2:]
    assert f" {runs / 'tiny'}/ " in place
    assert shlex.split(command)[1:] == ["tools/evaluate.py", str(runs / "tiny"), "--split", "test"]
    assert (runs / "tiny" / "evaluation-val" / "confusion.png").is_file()


def test_a_first_word_with_an_equals_sign_is_a_setting_and_a_resumed_run_has_its_own_config(
    tool: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    options = tool.parse(["train.epochs=1", "--quiet", "name=x"])
    assert (options.config, options.overrides, options.quiet) == (None, ["train.epochs=1", "name=x"], True)
    with pytest.raises(SystemExit, match="2"):
        tool.parse(["--resume", "runs/x", "other.yaml"])
    assert "--resume" in capsys.readouterr().err


def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: ModuleType, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([str(config), "train.precision=fp16", f"run_dir={tmp_path / 'runs'}", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "train.precision=fp16" in said and not (tmp_path / "runs").exists()


def test_ctrl_c_prints_how_to_continue(
    tool: ModuleType, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tool.recipes, "train", interrupt)
    command = [str(config), f"run_dir={tmp_path}", "--quiet"]
    assert tool.main(command) == 130 and "--resume" not in capsys.readouterr().err  # nothing was written
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.yaml").touch()
    assert tool.main(command) == 130 and f"--resume {tmp_path / 'tiny'}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_killed_with_sigkill_ends_with_the_weights_of_one_that_was_not(
    tool: ModuleType, config: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [str(config), "train.epochs=5", "train.batch_size=4", "train.checkpoint_every=2", "train.ema=0.9",
               "train.augment.noise=0.1", "train.augment.time_flip=0.5", "--quiet"]
    killed, whole = (RunFolder(tmp_path / name / "tiny") for name in ("killed", "whole"))
    process = subprocess.Popen([sys.executable, tool.__file__, *command, f"run_dir={killed.path.parent}"],
                               env=environment, stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    # Three lines and a checkpoint after the second: the third epoch is lost, and so is a part of the fourth.
    while len(read_journal(killed.journal)) < 3:
        assert process.poll() is None and time.monotonic() < limit, "the run ended before it could be killed"
        time.sleep(0.002)
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert killed.index is not None and killed.index.finished is None and len(read_journal(killed.journal)) < 5

    assert tool.main(["--resume", str(killed.path), "--quiet"]) == 0
    assert tool.main([*command, f"run_dir={whole.path.parent}"]) == 0
    assert killed.index == whole.index and same(last(killed), last(whole))
    assert same(*(load_file(find_checkpoint(run.path) / "model.safetensors") for run in (killed, whole)))
    assert [line["epoch"] for line in read_journal(killed.journal)] == list(range(1, 6))


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_train_the_model_that_one_trains_and_one_of_them_writes(
    tool: ModuleType, config: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """28 videos in batches of 9: of the last batch, which has one video, the second process has none."""
    dropout = [f"model.dropout.{part}=0" for part in ("attention", "features", "graph", "head")]
    settings = ["train.batch_size=9", *dropout]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0",
               "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(Path(__file__).with_name("two_processes.py")),
               str(config), f"run_dir={tmp_path}", *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_file(tmp_path / f"rank-{rank}.safetensors") for rank in (0, 1))
    both = RunFolder(tmp_path / "tiny")
    assert same(first, second) and same(first, last(both)) and "training on 2 processes" in done.stderr
    assert len(list((both.path / "tensorboard").iterdir())) == 1

    assert tool.main([str(config), f"run_dir={tmp_path / 'one'}", "--quiet", *settings]) == 0
    alone = RunFolder(tmp_path / "one" / "tiny")
    for name, value in last(alone).items():
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5)
    for two, one in zip(read_journal(both.journal), read_journal(alone.journal), strict=True):
        assert (two["epoch"], two["step"]) == (one["epoch"], one["step"])
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
