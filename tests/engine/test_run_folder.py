from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError, RunError
from avsgn_pyg.engine import run_folder
from avsgn_pyg.engine.checkpoint import save_checkpoint
from avsgn_pyg.engine.files import Meta
from avsgn_pyg.engine.run_folder import (
    Index,
    RunFolder,
    clear,
    differences,
    find_checkpoint,
    how_to_continue,
    read_run_config,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that has begun."""
    run = RunFolder(tmp_path / "my run")
    run.begin(Config())
    return run


@pytest.fixture
def write(run: RunFolder, meta: Meta) -> Callable[..., None]:
    """Write checkpoints of the run, one an epoch."""

    def write(*epochs: int) -> None:
        for epoch in epochs:
            folder = run.checkpoints / f"epoch-{epoch:04d}"
            save_checkpoint(folder, {"a": torch.ones(2)}, Config(), meta, {"state.json": "{}"})

    return write


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_is_new_then_started_then_finished(tmp_path: Path, run: RunFolder, write: Callable[..., None]) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".config.yaml.partial").touch()
    for path in (tmp_path / "absent", tmp_path / "killed", run.path):
        assert RunFolder(path).state(Config()) == "new"
    write(1)
    run.commit(Index("epoch-0001", "epoch-0001"))
    assert run.state(Config()) == "started" and (run.last / "resume").exists()
    write(200)
    run.commit(Index("epoch-0200", "epoch-0200", "epochs"))
    assert run.state(Config()) == "finished" and (run.last / "resume").exists()


def test_a_run_of_another_config_is_refused_with_the_keys_and_the_ways_out(run: RunFolder) -> None:
    before = (run.path / "config.yaml").read_bytes()
    with pytest.raises(RunError) as error:
        run.state(Config(train={"learning_rate": 0.001}, model={"dim": 64}))
    for part in ("train.learning_rate: 0.0003 in the run, 0.001 asked for", "model.dim: 256 in the run, 64 asked for",
                 "name=", "--resume", "--overwrite"):
        assert part in str(error.value)
    assert (run.path / "config.yaml").read_bytes() == before


def test_a_finished_run_may_be_lengthened_where_that_is_asked_for(run: RunFolder, write: Callable[..., None]) -> None:
    write(2)
    run.begin(Config())
    run.commit(Index("epoch-0002", "epoch-0002", "epochs"))
    short, longer = Config(train={"epochs": 2}), Config(train={"epochs": 3})
    run_folder.write_config(short, run.path)
    assert run.state(short) == "finished" and run.state(longer, lengthen=True) == "started"
    with pytest.raises(RunError, match=r"train\.epochs: 2 in the run(?s:.)*continue that one with --resume"):
        run.state(longer)
    with pytest.raises(RunError, match=r"train\.epochs: 2 in the run(?s:.)*may only rise"):
        run.state(Config(train={"epochs": 1}), lengthen=True)
    run.begin(longer)  # from here, the run has three epochs and is not finished
    assert run.state(longer) == "started" and read_run_config(run.path).train.epochs == 3
    run.commit(Index("epoch-0002", "epoch-0002", "early stop"))
    assert run.state(longer) == "finished"
    with pytest.raises(RunError, match=r"train\.epochs: 3 in the run"):
        run.state(Config(train={"epochs": 4}), lengthen=True)


def test_places_and_later_evaluation_may_differ_and_all_else_is_compared(tmp_path: Path) -> None:
    moved = Config(run_dir=tmp_path, data={"root": tmp_path}, evaluate={"split": "val", "bootstrap": 7})
    assert differences(moved, Config()) == []
    assert differences(Config(evaluate={"tau": 0.5}), Config()) == ["evaluate.tau: 0.5 in the run, 0.6 asked for"]
    one, other = (Config(model={"cmgi": {"conv_options": options}}) for options in ({"heads": 2}, {}))
    assert differences(one, other) == ["model.cmgi.conv_options: {'heads': 2} in the run, {} asked for"]


@pytest.mark.parametrize("refuse", [lambda path: RunFolder(path).state(Config()), clear])
def test_other_files_are_named_and_left_alone(tmp_path: Path, refuse: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"no config\.yaml"):
        refuse(tmp_path)
    for place in ("file", "file/deeper"):
        with pytest.raises(RunError, match="/file: is a file"):
            refuse(tmp_path / place)
    assert names(tmp_path) == {"file"}


def test_clearing_removes_the_runs_files_and_no_others(run: RunFolder, write: Callable[..., None]) -> None:
    write(1)
    for name in ("evaluation-test", "pictures", "seed-0", "tensorboard"):
        (run.path / name).mkdir()
    (run.path / "notes.txt").write_text("mine")
    clear(run.path)
    assert names(run.path) == {"notes.txt"}
    clear(run.path / "absent")


def test_a_commit_keeps_the_last_and_the_selected_checkpoint_and_a_start_those_of_the_index(
    run: RunFolder, write: Callable[..., None]
) -> None:
    write(1, 2, 3)
    run.commit(Index("epoch-0003", "epoch-0002"))
    assert names(run.checkpoints) == {"index.json", "epoch-0002", "epoch-0003"}
    assert [(run.checkpoints / name / "resume").exists() for name in ("epoch-0002", "epoch-0003")] == [False, True]
    assert find_checkpoint(run.path) == run.checkpoints / "epoch-0002"
    write(4)
    (run.checkpoints / ".epoch-0005.partial").mkdir()
    run.begin(Config())
    assert names(run.checkpoints) == {"index.json", "epoch-0002", "epoch-0003"}


@pytest.mark.parametrize(("make", "message"), [
    (lambda path: None, "no such folder"),
    (lambda path: path.mkdir(), "neither a run's folder nor a checkpoint"),
    (lambda path: RunFolder(path).begin(Config()), "no checkpoint yet"),
    (lambda path: (path / "seed-3").mkdir(parents=True), "seed-3"),
])
def test_a_path_without_a_checkpoint_is_described(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "path")
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(tmp_path / "path")


def test_a_damaged_index_is_named(run: RunFolder) -> None:
    (run.checkpoints / "index.json").write_text('{"last": "ep')
    with pytest.raises(CheckpointError, match=r"index\.json"):
        run.state(Config())


def test_an_interrupted_run_is_continued_by_a_command_that_works_here(run: RunFolder) -> None:
    command = how_to_continue("tools/train.py", run.path).removeprefix("stopped; continue with: ")
    python, *rest = shlex.split(command)
    assert Path(python).resolve() == Path(sys.executable).resolve()
    assert rest == ["tools/train.py", "--resume", str(run.path)]


def test_another_format_is_reported_before_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0" / "checkpoints" / "epoch-0001"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text('{"format": 1}')
    (tmp_path / "config.yaml").write_text("model: {cmgi: {limit_gib: 1.0}}")
    with pytest.raises(CheckpointError, match="format 1"):
        read_run_config(tmp_path)
