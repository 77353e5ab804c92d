"""The tool that measures labels that were not trained, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes import evaluation

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "synthetic.yaml"
DATA = ["data.synthetic.videos=100", "data.synthetic.classes=5", "data.synthetic.width=16"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_config(None, [
        "data.kind=synthetic", *DATA, f"run_dir={tmp_path_factory.mktemp('runs')}", "model.dim=8", "train.epochs=1",
        "train.device=cpu", "evaluate.bootstrap=0", "data.held_out=[class 1, class 3]"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "draw_confusion", lambda result: None)
        return recipes.train(config, progress=False).folder


def test_a_config_is_measured_by_text_alone(tool: ModuleType, capsys):
    assert tool.main([str(CONFIG), *DATA, "--held-out", "2", "--draws", "3"]) == 0
    assert "2 of 5 classes held out, 3 draws" in capsys.readouterr().out
    assert tool.main([str(CONFIG), *DATA, "--held-out", "2", "--draws", "1", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["draws"][0]["among_all"]) == {"both", "shipped", "audio", "visual"}


def test_events_are_measured_without_training(tool: ModuleType, capsys):
    assert tool.main([str(CONFIG), *DATA, "--training-free"]) == 0
    said = capsys.readouterr().out
    assert "nothing trained" in said and "likelihood ratio" in said and "agreement" in said


@pytest.mark.slow
def test_a_run_is_measured_on_the_classes_it_never_saw(tool: ModuleType, run: Path, capsys):
    assert tool.main([str(run), "--split", "val"]) == 0
    said = capsys.readouterr().out
    assert "of 2 classes held out of training" in said and "relevance AUC" in said
    for source, *others in ((run, "--draws", "3"), (run, "--training-free"),
                            (CONFIG, "--training-free", "--draws", "3")):
        with pytest.raises(SystemExit):
            tool.main([str(source), *others])
        assert "--draws" in capsys.readouterr().err
