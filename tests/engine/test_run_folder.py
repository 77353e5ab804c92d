from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from avsgn_pyg.config import Config
from avsgn_pyg.engine.checkpoint import CheckpointError, Meta, save_checkpoint
from avsgn_pyg.engine.run_folder import (
    Index,
    RunError,
    RunFolder,
    clear,
    differences,
    find_checkpoint,
    how_to_continue,
    read_run_config,
    seed_folders,
)


def begun(path: Path, config: Config) -> RunFolder:
    run = RunFolder(path)
    run.begin(config)
    return run


def write_checkpoint(run: RunFolder, name: str, meta: Meta) -> None:
    save_checkpoint(run.checkpoints / name, {"a": torch.ones(2)}, Config(), meta, {"state.json": "{}"})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_absent_folder_is_new_and_asking_creates_nothing(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "r").state(Config()) == "new"
    assert not (tmp_path / "r").exists()


def test_a_run_is_new_then_started_then_finished(tmp_path: Path, meta: Meta) -> None:
    run = begun(tmp_path / "r", Config())
    assert run.state(Config()) == "new"
    write_checkpoint(run, "epoch-0001", meta)
    run.commit(Index("epoch-0001", "epoch-0001"))
    assert run.state(Config()) == "started"
    run.commit(Index("epoch-0001", "epoch-0001", "epochs"))
    assert run.state(Config()) == "finished"


def test_a_run_of_another_config_is_refused_with_the_keys_and_the_ways_out(tmp_path: Path) -> None:
    run = begun(tmp_path / "r", Config())
    before = (run.path / "config.yaml").read_bytes()
    other = Config(train={"learning_rate": 0.001}, model={"dim": 64})
    with pytest.raises(RunError) as error:
        run.state(other)
    message = str(error.value)
    assert "train.learning_rate: 0.0003 in the run, 0.001 asked for" in message
    assert "model.dim: 256 in the run, 64 asked for" in message
    assert all(way in message for way in ("name=", "--resume", "--overwrite", "Nothing was written"))
    assert (run.path / "config.yaml").read_bytes() == before


def test_a_moved_run_is_the_same_run(tmp_path: Path) -> None:
    assert differences(Config(run_dir=tmp_path), Config()) == []


def test_where_data_lie_and_what_is_evaluated_afterwards_may_differ(tmp_path: Path) -> None:
    moved = Config(data={"root": tmp_path}, evaluate={"split": "val", "bootstrap": 7})
    assert differences(moved, Config()) == []
    assert differences(Config(evaluate={"tau": 0.5}), Config()) == [
        "evaluate.tau: 0.5 in the run, 0.6 asked for"
    ]


@pytest.mark.parametrize("place", ["r", "r/deeper"])
def test_a_file_in_the_runs_place_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "r").write_text("mine")
    for refuse in (lambda: RunFolder(tmp_path / place).state(Config()), lambda: clear(tmp_path / place)):
        with pytest.raises(RunError, match=r"/r: is a file, so .*; choose another run_dir= or name="):
            refuse()


def test_layer_options_are_compared_as_a_whole() -> None:
    one, other = (Config(model={"cmgi": {"conv_options": options}}) for options in ({"heads": 2}, {}))
    assert differences(one, other) == ["model.cmgi.conv_options: {'heads': 2} in the run, {} asked for"]


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for refuse in (lambda: RunFolder(tmp_path).state(Config()), lambda: clear(tmp_path)):
        with pytest.raises(RunError, match=r"holds files but no config\.yaml"):
            refuse()
    assert names(tmp_path) == {"notes.txt"}


def test_clearing_removes_the_runs_files_and_no_others(tmp_path: Path, meta: Meta) -> None:
    run = begun(tmp_path / "r", Config())
    write_checkpoint(run, "epoch-0001", meta)
    for name in ("evaluation-test", "pictures", "seed-0", "tensorboard"):
        (run.path / name).mkdir()
    (run.path / "notes.txt").write_text("mine")
    clear(run.path)
    assert names(run.path) == {"notes.txt"}


def test_clearing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    clear(tmp_path / "absent")


def test_a_commit_keeps_the_last_and_the_selected_checkpoint(tmp_path: Path, meta: Meta) -> None:
    run = begun(tmp_path / "r", Config())
    for epoch in (1, 2, 3):
        write_checkpoint(run, f"epoch-000{epoch}", meta)
    run.commit(Index("epoch-0003", "epoch-0002"))
    assert names(run.checkpoints) == {"index.json", "epoch-0002", "epoch-0003"}
    assert (run.checkpoints / "epoch-0003" / "resume").is_dir()
    assert not (run.checkpoints / "epoch-0002" / "resume").exists()
    assert find_checkpoint(run.path) == run.checkpoints / "epoch-0002"


def test_a_finished_run_keeps_no_training_state(tmp_path: Path, meta: Meta) -> None:
    run = begun(tmp_path / "r", Config())
    write_checkpoint(run, "epoch-0001", meta)
    run.commit(Index("epoch-0001", "epoch-0001", "epochs"))
    assert not (run.checkpoints / "epoch-0001" / "resume").exists()


def test_a_checkpoint_that_no_index_names_is_removed_on_the_next_start(tmp_path: Path, meta: Meta) -> None:
    run = begun(tmp_path / "r", Config())
    write_checkpoint(run, "epoch-0001", meta)
    run.commit(Index("epoch-0001", "epoch-0001"))
    write_checkpoint(run, "epoch-0002", meta)
    (run.checkpoints / ".epoch-0003.partial").mkdir()
    begun(run.path, Config())
    assert names(run.checkpoints) == {"index.json", "epoch-0001"}


def test_a_folder_that_a_kill_left_with_hidden_files_is_new(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.partial").write_text("name: av")
    assert RunFolder(tmp_path).state(Config()) == "new"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "neither a run's folder nor a checkpoint"),
        (lambda path: begun(path, Config()), "no checkpoint yet"),
        (lambda path: (path / "seed-3").mkdir(parents=True), "a run of several seeds; choose one of seed-3"),
    ],
)
def test_a_path_without_a_checkpoint_says_what_it_is(tmp_path: Path, make: object, says: str) -> None:
    make(tmp_path / "r")
    with pytest.raises(CheckpointError, match=says):
        find_checkpoint(tmp_path / "r")


def test_seed_folders_come_in_the_order_of_the_seeds(tmp_path: Path) -> None:
    for name in ("seed-10", "seed-2", "seed-x", "other"):
        (tmp_path / name).mkdir()
    assert [path.name for path in seed_folders(tmp_path)] == ["seed-2", "seed-10"]


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path / "r", Config())
    (run.checkpoints / "index.json").write_text('{"last": "ep')
    with pytest.raises(CheckpointError, match=r"index\.json: cannot be read"):
        run.state(Config())


def test_an_interrupted_run_is_continued_by_a_command_that_works_here(tmp_path: Path) -> None:
    begun(tmp_path / "run", Config())
    said = how_to_continue("tools/train.py", tmp_path / "run")
    python, tool, option, folder = said.removeprefix("stopped; continue with: ").split()
    assert Path(python).resolve() == Path(sys.executable).resolve()
    assert (tool, option, Path(folder)) == ("tools/train.py", "--resume", tmp_path / "run")


@pytest.mark.parametrize("name", ["absent", None])
def test_a_run_that_wrote_nothing_is_not_offered_for_resumption(tmp_path: Path, name: str | None) -> None:
    assert "--resume" not in how_to_continue("tools/train.py", name and tmp_path / name)


def test_a_run_of_another_format_is_told_by_its_format_before_its_settings(tmp_path: Path) -> None:
    folder = tmp_path / "seed-0" / "checkpoints" / "epoch-0001"
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text('{"format": 1}')
    (tmp_path / "config.yaml").write_text("model: {cmgi: {limit_gib: 1.0}}")
    with pytest.raises(CheckpointError, match="format 1, this version reads format 2"):
        read_run_config(tmp_path)
