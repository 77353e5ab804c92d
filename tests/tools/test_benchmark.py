"""The benchmark tool as a user runs it, with the measuring itself replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.experiments.benchmark import results
from avsgn_pyg.experiments.benchmark.groups import GROUPS
from avsgn_pyg.experiments.benchmark.results import Results, Row
from avsgn_pyg.experiments.benchmark.workload import Workload


@pytest.fixture
def tool(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load("benchmark")
    module.asked = []

    def measure(groups: dict, workload: Workload, *, keep: Path | None, progress: bool) -> Results:
        module.asked.append((workload, list(groups), progress))
        return Results((Row("step", 0.5, "ms"),), {"cpu": "a CPU"}, {})

    monkeypatch.setattr(results, "measure", measure)
    return module


def test_without_arguments_it_measures_all_but_single_layers_and_writes_nothing(tool, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tool.main([]) == 0
    assert tool.asked == [(Workload(), [name for name in GROUPS if name != "blocks"], True)]
    assert tuple(GROUPS) == tool.GROUPS
    assert "step" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_arguments_reach_the_workload(tool):
    tool.main(["--rows", "cmgi", "window", "--budget", "2.5", "--quick", "--rounds", "4", "--threads", "2",
               "--quiet", "model.cmsa.heads=2"])
    (workload, groups, progress), = tool.asked
    assert groups == ["cmgi", "window"] and workload.budget == 2.5
    assert workload.videos < Workload.videos and workload.rounds == 4 and workload.threads == 2
    assert workload.overrides == ("model.cmsa.heads=2",) and not progress


@pytest.mark.parametrize("words", [["--rows", "speed"], ["--rounds", "0"]])
def test_other_groups_and_counts_below_one_are_refused(tool, words, capsys):
    with pytest.raises(SystemExit):
        tool.parse(words)
    assert words[1] in capsys.readouterr().err


def test_out_names_the_files_it_wrote(tool, capsys, tmp_path):
    assert tool.main(["--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [str(tmp_path / "out" / name) for name in ("benchmark.json", "benchmark.md")]
    assert all(Path(line).is_file() for line in printed[-2:])


def test_a_setting_that_cannot_be_used_is_one_line_and_status_2(tool, capsys, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("model.cmgi.conv: no")

    monkeypatch.setattr(results, "measure", refuse)
    assert tool.main(["model.cmgi.conv=gat"]) == 2
    assert capsys.readouterr().err == "error: model.cmgi.conv: no\n"


def test_ctrl_c_prints_where_the_rows_are_and_ends_with_130(tool, capsys, monkeypatch, tmp_path):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "measure", stop)
    assert tool.main(["--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == f"stopped; rows so far are in {tmp_path}\n"
