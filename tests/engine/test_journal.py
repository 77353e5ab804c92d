from __future__ import annotations

import importlib.metadata
import json
import math
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.files import Meta
from avsgn_pyg.engine.journal import (
    add_record,
    git_revision,
    installed_revision,
    note_environment,
    read_journal,
    trim_journal,
)


def write(folder: Path, epochs: range, after: int = 0) -> None:
    trim_journal(folder / "journal.jsonl", after)
    for epoch in epochs:
        record = {"epoch": epoch, "loss": {"total": float(epoch)}, "val": {"relevance_auc": math.nan}}
        add_record(folder / "journal.jsonl", record)


def test_an_epoch_is_one_line_also_after_a_resume(tmp_path: Path) -> None:
    write(tmp_path, range(1, 6))
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"epoch": 6, "lo')  # cut short by a kill
    write(tmp_path, range(4, 7), after=3)
    lines = read_journal(tmp_path / "journal.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[1] == {"epoch": 2, "loss": {"total": 2.0}, "val": {"relevance_auc": None}}


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"epoch": 1}\nnonsense\n{"epoch": 3}\n')
    with pytest.raises(CheckpointError, match=r"journal\.jsonl: line 2"):
        read_journal(tmp_path / "journal.jsonl")


def test_every_start_is_added_to_the_environment(tmp_path: Path, meta: Meta) -> None:
    accelerator = make_accelerator(TrainConfig(device="cpu"))
    for after in (0, 3):
        note_environment(tmp_path / "environment.json", accelerator, after, meta, ["a note"])
    starts = json.loads((tmp_path / "environment.json").read_text())
    assert [start["after_epoch"] for start in starts] == [0, 3]
    assert starts[0]["data_notes"] == ["a note"]
    assert starts[0]["packages"].keys() >= {"torch", "accelerate", "safetensors"}
    assert starts[0]["data"] == {"name": "tiny", "synthetic": True, "provenance": {}} and starts[0]["processor"]
    assert (starts[0]["device"], starts[0]["precision"], starts[0]["processes"]) == ("cpu", "no", 1)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one committed file, ``code/a.py``."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").touch()
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "x")):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)
    return tmp_path


def test_the_commit_that_pip_installed_is_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, revision in ((None, None), ('{"dir_info": {}}', None), ('{"vcs_info": {"commit_id": "1f66"}}', "1f66")):
        found = SimpleNamespace(read_text=lambda name, text=text: text)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name, found=found: found)
        assert installed_revision() == revision


def test_the_git_revision_marks_changed_files(repository: Path) -> None:
    clean = git_revision(repository / "code")
    assert clean is not None and len(clean) == 40
    (repository / "new").touch()
    assert git_revision(repository / "code") == clean + "+changes"


def test_a_folder_that_git_does_not_track_has_no_revision(repository: Path) -> None:
    (repository / "site-packages").mkdir()
    (repository / "site-packages" / "a.py").touch()
    assert git_revision(repository / "site-packages") is None
    assert git_revision(repository.parent) is None


def test_a_run_notes_the_revision_of_the_package_wherever_it_starts(
    repository: Path, monkeypatch: pytest.MonkeyPatch, meta: Meta
) -> None:
    monkeypatch.chdir(repository / "code")
    note_environment(repository / "environment.json", make_accelerator(TrainConfig(device="cpu")), 0, meta)
    [start] = json.loads((repository / "environment.json").read_text())
    here = git_revision(repository / "code")
    assert here is not None and here[:40] not in (start["git"] or "")
