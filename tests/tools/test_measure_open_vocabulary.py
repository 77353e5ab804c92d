"""The tool that measures labels that were not trained, as a user runs it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from avsgn_pyg import recipes
from avsgn_pyg.config import load_config

ROOT = Path(__file__).resolve().parents[2]
MADE = ["data.kind=synthetic", "data.synthetic.videos=100", "data.synthetic.classes=5", "data.synthetic.width=16"]

spec = importlib.util.spec_from_file_location("measure_open_vocabulary_tool",
                                              ROOT / "tools" / "measure_open_vocabulary.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = "data.held_out=[class 1, class 3]"
    config = load_config(None, [*MADE, f"run_dir={tmp_path_factory.mktemp('runs')}", "model.dim=8", "train.epochs=1",
                                "train.device=cpu", "evaluate.bootstrap=0", names])
    return recipes.train(config, progress=False).folder


def test_a_config_is_measured_by_text_alone(capsys):
    config = str(ROOT / "configs" / "synthetic.yaml")
    assert tool.main([config, *MADE[1:], "--held-out", "2", "--draws", "3"]) == 0
    said = capsys.readouterr().out
    assert "2 of 5 classes held out, 3 draws" in said and "shipped" in said
    assert tool.main([config, *MADE[1:], "--held-out", "2", "--draws", "1", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["draws"][0]["among_all"]) == {"both", "shipped", "audio", "visual"}


def test_a_run_is_measured_on_the_classes_it_never_saw(run: Path, capsys):
    assert tool.main([str(run), "--split", "val"]) == 0
    said = capsys.readouterr().out
    assert "of 2 classes held out of training" in said and "relevance AUC" in said


def test_draws_are_of_a_config(run: Path, capsys):
    with pytest.raises(SystemExit):
        tool.main([str(run), "--draws", "3"])
    assert "were held out when it was trained" in capsys.readouterr().err


def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path: Path, capsys):
    assert tool.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
