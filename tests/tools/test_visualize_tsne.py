"""The t-SNE tool as a user runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg import recipes
from avsgn_pyg.config import Config

TOOL = Path(__file__).resolve().parents[2] / "tools" / "visualize_tsne.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("visualize_tsne_tool", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config.model_validate({
        "run_dir": tmp_path_factory.mktemp("runs"),
        "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
        "model": {"dim": 8},
        "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
        "evaluate": {"bootstrap": 0},
    })
    return recipes.train(config, progress=False).folder


def test_the_tool_writes_the_figure_and_names_it(tool, run, tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert tool.main([str(run), "--split", "val", "--out", str(tmp_path), "--format", "svg", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "tsne.svg")] and (tmp_path / "tsne.svg").is_file()


def test_unless_told_otherwise_the_figure_lies_with_its_run_under_its_split(tool, run, capsys):
    pytest.importorskip("sklearn")
    assert tool.main([str(run), "--split", "val", "--points", "50", "--perplexity", "5", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.split() == [str(run / "pictures" / "val" / "tsne.png")]


@pytest.mark.parametrize(("arguments", "says"), [
    (["{run}/absent"], "no such folder"),
    (["{run}", "--points", "1"], "most=1"),
    (["{run}", "model.dim=4"], "model.dim"),
    (["{run}", "--seed", "-1"], "seed=-1"),
    (["{run}", "--perplexity", "nan"], "perplexity=nan"),
])
def test_what_cannot_be_drawn_is_one_line_and_exit_code_2(tool, run, capsys, arguments, says):
    assert tool.main([argument.format(run=run) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error
