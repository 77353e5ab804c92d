"""The parsing tool as a user runs it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def module_from(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = module_from(ROOT / "tools" / "train_parsing.py", "train_parsing_tool")
maker = module_from(ROOT / "tools" / "make_llp_features.py", "make_llp_features_tool")
write_llp = module_from(ROOT / "tests" / "parsing" / "test_training.py", "parsing_recipe_makers").write_llp


@pytest.fixture
def words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    write_llp(tmp_path)
    assert maker.main([str(tmp_path), "--out", str(tmp_path / "made.h5"), "--width", "16"]) == 0
    assert "84 videos, synthetic features 16 wide" in capsys.readouterr().out
    return [str(ROOT / "configs" / "llp.yaml"), f"data.root={tmp_path}", "data.features=made.h5", f"run_dir={tmp_path}",
            "model.width=16", "model.dim=16", "train.epochs=1", "train.device=cpu", "--quiet"]


def test_train_score_and_resume_agree(words, tmp_path: Path, capsys):
    assert tool.main(words) == 0
    said = capsys.readouterr().out
    assert "LLP (synthetic features), test: 24 videos" in said and "Event@AV" in said
    assert tool.main(["--score", str(tmp_path / "llp"), "--split", "test", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert f"{scored['segment']['type_av']:.2f}" in said
    assert tool.main(["--resume", str(tmp_path / "llp"), "--quiet"]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(("given", "says"), [
    (["train.seeds=[1,2]"], "train.seeds"), (["data.features=none.h5"], "no such file"),
    (["model.conf=1"], "no such setting"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(words, capsys, given, says):
    assert tool.main([*words, *given]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: ") and says in said.err


@pytest.mark.parametrize("given", [[], ["a.yaml", "--resume", "x"], ["a.yaml", "--split", "val"],
                                   ["a.yaml", "--device", "cpu"], ["--score", "x", "--overwrite"]])
def test_requests_that_contradict_themselves_are_refused(given):
    with pytest.raises(SystemExit):
        tool.main(given)


@pytest.mark.parametrize(("given", "device"), [([], "auto"), (["--device", "cpu"], "cpu")])
def test_a_score_is_computed_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, given, device):
    seen = {}
    monkeypatch.setattr(tool, "check_parsing_run", lambda *_: None)
    monkeypatch.setattr(tool.parsing, "evaluate_run", lambda *_, **options: seen.update(options))
    tool.run(tool.parse(["--score", "x", *given]))
    assert seen["device"] == device


def test_an_interrupt_tells_how_to_continue(words, capsys, monkeypatch):
    def stop(config, **__):
        folder = config.run_dir / config.name
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(tool.parsing, "train", stop)
    assert tool.main(words) == 130
    assert "--resume" in capsys.readouterr().err
