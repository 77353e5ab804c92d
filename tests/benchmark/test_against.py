"""Two checkouts take turns, each in a process that imports its own package."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from avsgn_pyg.benchmark import against, workload
from avsgn_pyg.benchmark.against import CASES, HERE, added_memory, against_groups, worker
from avsgn_pyg.benchmark.results import measure
from avsgn_pyg.benchmark.workload import Workload

SMALL = Workload(videos=8, segments=3, width=8, classes=3, batch_size=2, rounds=2, overrides=("model.dim=8",))


def test_cases_are_functions_and_settings_of_the_workload() -> None:
    for function, settings, _ in CASES.values():
        assert callable(getattr(workload, function)) and dataclasses.replace(SMALL, **settings)


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


def test_rows_compare_seconds_and_peaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    @contextmanager
    def fake(folder: Path, function: str, settings: dict[str, Any]) -> Iterator[tuple[float, Callable[[], float]]]:
        asked.append((function, settings["overrides"], settings["width"]))
        yield 5.0, lambda: 3.0 if folder == HERE else 2.0
        asked.append("closed")

    monkeypatch.setattr(against, "worker", fake)
    (tmp_path / "old" / "avsgn_pyg").mkdir(parents=True)
    (tmp_path / "old" / "avsgn_pyg" / "zoo.py").touch()
    group = against_groups(tmp_path / "old")["step, gat"]
    time, ratio, peak = measure({"gat": group}, SMALL).rows
    assert (time.name, ratio.name, ratio.value, ratio.met) == ("step, gat: old", "step, gat: this / old", 1.5, False)
    assert peak.value == 5
    assert asked == [("trainer_step", ("model.cmgi.conv=gat", "model.dim=8"), 8)] * 2 + ["closed"] * 2


def test_a_folder_without_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="worktree"):
        against_groups(tmp_path)


def test_memory_that_was_freed_again_is_counted() -> None:
    found = added_memory(lambda: b"x" * (40 * 2**20) and None)
    assert found is None or 39 < found < 60


def test_a_system_that_reports_no_peak_gives_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(against, "STATUS", tmp_path / "absent" / "status")
    done: list[int] = []
    assert added_memory(lambda: done.append(1)) is None and done
