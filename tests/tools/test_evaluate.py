"""The evaluation tool as a user runs it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg import recipes
from avsgn_pyg.config import Config

TOOL = Path(__file__).resolve().parents[2] / "tools" / "evaluate.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config.model_validate(
        {
            "run_dir": tmp_path_factory.mktemp("runs"),
            "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
            "model": {"dim": 16},
            "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
            "evaluate": {"bootstrap": 50},
        }
    )
    return recipes.train(config, progress=False).folder


def test_the_tool_prints_a_table_and_the_folder(
    tool: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([str(run), "--split", "val", "--tau", "0.4", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "| val: 6 videos" in printed
    assert "tau: 0.4" in printed
    assert f"\n{run}/\n" in printed


def test_json_is_all_that_is_printed(tool: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([str(run), "--tau-from", "val", "--json", "--device", "cpu"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["evaluations"][0]["tau_from"] == "val"
    assert values["evaluations"][0]["scores"]["videos"] == 6
    assert values["summary"] is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{run}/absent"], "no such folder"),
        (["{run}", "train.epochs=3"], "an evaluation can change data.* and evaluate.*"),
        (["{run}", "--tau", "2"], "tau=2.0 is no threshold"),
        (["{run}", "data.synthetic.width=32"], "audio_width: 16 in the checkpoint, 32 in the data"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: ModuleType, run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert tool.main([*(part.format(run=run) for part in arguments), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
