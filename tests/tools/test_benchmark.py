"""The benchmark tool as a user runs it, with the measuring itself replaced."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg.config import ConfigError
from avsgn_pyg.experiments.rows import Results, Row
from avsgn_pyg.experiments.workload import Workload

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark.py"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.asked = []

    def measure(workload: Workload, *, progress: bool) -> Results:
        module.asked.append((workload, progress))
        return Results((Row("step", 0.5, "s"),), {"cpu": "a CPU"}, {})

    monkeypatch.setattr(module, "measure", measure)
    return module


def test_without_arguments_it_measures_everything_and_writes_nothing(tool, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tool.main([]) == 0
    assert tool.asked == [(Workload(), True)]
    assert "step" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_arguments_reach_the_workload(tool):
    tool.main(["--quick", "--rounds", "4", "--threads", "2", "--quiet", "model.cmsa.heads=2"])
    (workload, progress), = tool.asked
    assert workload.videos < Workload.videos and workload.rounds == 4 and workload.threads == 2
    assert workload.overrides == ("model.cmsa.heads=2",) and not progress


def test_out_names_the_files_it_wrote(tool, capsys, tmp_path):
    assert tool.main(["--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [str(tmp_path / "out" / name) for name in ("benchmark.json", "benchmark.md")]
    assert all(Path(line).is_file() for line in printed[-2:])


def test_a_setting_that_cannot_be_used_is_one_line_and_status_2(tool, capsys, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("model.cmgi.conv: no")

    monkeypatch.setattr(tool, "measure", refuse)
    assert tool.main(["model.cmgi.conv=gat"]) == 2
    assert capsys.readouterr().err == "error: model.cmgi.conv: no\n"


@pytest.mark.parametrize("count", ["0", "-3"])
def test_counts_below_one_are_refused(tool, count, capsys):
    with pytest.raises(SystemExit):
        tool.parse(["--rounds", count])
    assert "not a positive whole number" in capsys.readouterr().err
