"""Two checkouts take turns, each in a process that imports its own package."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from avsgn_pyg.experiments.benchmark.against import HERE, against_groups, worker
from avsgn_pyg.experiments.benchmark.workload import Workload

SMALL = Workload(videos=8, segments=3, width=8, classes=3, batch_size=2, rounds=2, overrides=("model.dim=8",))


@pytest.mark.slow
def test_a_process_returns_its_cpu_seconds_and_peak() -> None:
    with worker(HERE, "trainer_step", dataclasses.asdict(SMALL)) as (peak, sample):
        assert 0 < sample() < 5 and (peak is None or peak >= 0)


def test_a_process_imports_the_package_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "avsgn_pyg").mkdir()
    (tmp_path / "avsgn_pyg" / "__init__.py").write_text("raise ImportError('this is the other checkout')")
    with (pytest.raises(RuntimeError, match="this is the other checkout"),
          worker(tmp_path, "trainer_step", dataclasses.asdict(SMALL))):
        pass


def test_a_folder_without_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="worktree"):
        against_groups(tmp_path)
