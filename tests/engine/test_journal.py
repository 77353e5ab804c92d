from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from avsgn_pyg.config import TrainConfig
from avsgn_pyg.engine.checkpoint import CheckpointError
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.journal import Journal, git_revision, note_environment, read_journal


def record(epoch: int) -> dict[str, object]:
    return {
        "epoch": epoch,
        "loss": {"gate": 1.0 / epoch, "total": float(epoch)},
        "gradient_norm": None,
        "val": {"segment_accuracy": 50.0 + epoch, "relevance_auc": float("nan")},
    }


def write(folder: Path, epochs: range, after: int = 0) -> None:
    with Journal(folder, after=after) as journal:
        for epoch in epochs:
            journal.write(record(epoch))


def test_an_epoch_is_one_line_with_every_named_loss(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    lines = read_journal(tmp_path / "journal.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[1]["loss"] == {"gate": 0.5, "total": 2.0}


def test_what_json_does_not_know_becomes_null(tmp_path: Path) -> None:
    write(tmp_path, range(1, 2))
    assert read_journal(tmp_path / "journal.jsonl")[0]["val"] == {
        "segment_accuracy": 51.0,
        "relevance_auc": None,
    }


def test_tensorboard_holds_the_same_numbers_at_the_epoch(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss/total")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
    ]
    assert [event.value for event in board.Scalars("val/segment_accuracy")] == [51.0, 52.0, 53.0]


def test_after_a_resume_no_epoch_stands_twice(tmp_path: Path) -> None:
    write(tmp_path, range(1, 6))
    write(tmp_path, range(4, 7), after=3)
    assert [line["epoch"] for line in read_journal(tmp_path / "journal.jsonl")] == [1, 2, 3, 4, 5, 6]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("loss/gate")] == [1, 2, 3, 4, 5, 6]


def test_a_last_line_cut_short_by_a_kill_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, range(1, 3))
    path = tmp_path / "journal.jsonl"
    path.write_text(path.read_text() + '{"epoch": 3, "lo')
    write(tmp_path, range(3, 4), after=2)
    assert [line["epoch"] for line in read_journal(path)] == [1, 2, 3]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"epoch": 1}\nnonsense\n{"epoch": 3}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        read_journal(tmp_path / "journal.jsonl")


def test_a_silent_journal_writes_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, write=False) as journal:
        journal.write(record(1))
    assert not list(tmp_path.iterdir())


def test_every_start_is_added_to_the_environment(tmp_path: Path) -> None:
    accelerator = make_accelerator(TrainConfig(device="cpu"))
    for after in (0, 3):
        note_environment(tmp_path / "environment.json", accelerator, after)
    starts = json.loads((tmp_path / "environment.json").read_text())
    assert [start["after_epoch"] for start in starts] == [0, 3]
    assert starts[0]["packages"].keys() >= {"torch", "accelerate", "safetensors"}
    assert (starts[0]["device"], starts[0]["precision"], starts[0]["processes"]) == ("cpu", "no", 1)


def test_the_git_revision_says_when_files_differ_from_it(tmp_path: Path) -> None:
    assert git_revision(tmp_path) is None
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *who, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    clean = git_revision(tmp_path)
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "new").write_text("x")
    assert git_revision(tmp_path) == clean + "+changes"
