"""Two checkouts take turns, each in a process that imports its own package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avsgn_pyg.experiments import against
from avsgn_pyg.experiments.against import CASES, Case, Worker, against_groups, compare
from avsgn_pyg.experiments.workload import Workload

SMALL = {"videos": 8, "segments": 3, "width": 8, "classes": 3, "batch_size": 2, "overrides": ["model.dim=8"]}


def test_cases_are_functions_of_the_workload_and_cross_a_pipe():
    from avsgn_pyg.experiments import workload

    assert all(callable(getattr(workload, case.make)) for case in CASES.values())
    assert CASES["step, default recipe"].recipe and CASES["step, default recipe"].at_most == 1.25
    json.dumps([case.settings for case in CASES.values()])


def test_a_worker_imports_the_package_of_its_folder(tmp_path):
    (tmp_path / "avsgn_pyg").mkdir()
    (tmp_path / "avsgn_pyg" / "__init__.py").write_text("raise ImportError('this is the other checkout')")
    with pytest.raises(RuntimeError, match="this is the other checkout"):
        Worker(tmp_path, Case("trainer_step"), SMALL)


@pytest.mark.slow
def test_a_worker_answers_with_its_own_cpu_seconds_and_its_peak():
    worker = Worker(against.OURS, Case("trainer_step", calls=2), SMALL)
    try:
        worker.sample()
        assert 0 < worker.seconds < 5 and (worker.peak is None or worker.peak >= 0)
    finally:
        worker.close()


def test_rows_compare_both_and_give_the_peak_where_it_has_a_target(monkeypatch, tmp_path):
    class Fake:
        def __init__(self, folder: Path, case: Case, settings: dict) -> None:
            self.each, self.seconds, self.peak = (3.0 if folder == against.OURS else 2.0), 0.0, 5 * 2**20
            assert settings["width"] == 512 and settings["segments"] == 3600

        def sample(self) -> None:
            self.seconds += self.each

        def close(self) -> None:
            closed.append(self)

    closed: list[Fake] = []
    monkeypatch.setattr(against, "Worker", Fake)
    case = Case("long_pass", {"segments": 3600}, at_most=1.25, peak_mib=3072.0)
    ratio, peak = compare("hour", case, tmp_path / "old", Workload(rounds=2))
    assert ratio.name == "hour: this / old" and ratio.value == 1.5 and ratio.met is False
    assert peak.value == 5 and peak.met and len(closed) == 2


def test_a_folder_without_the_project_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="worktree"):
        against_groups(tmp_path)
