"""The parsing tools as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def words(load, write_llp, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    write_llp(tmp_path)
    assert load("make_llp_features").main([str(tmp_path), "--out", str(tmp_path / "made.h5"), "--width", "16"]) == 0
    assert "84 videos" in capsys.readouterr().out
    return [str(ROOT / "configs" / "llp.yaml"), f"data.root={tmp_path}", "data.features=made.h5", f"run_dir={tmp_path}",
            "model.width=16", "model.dim=16", "train.epochs=1", "train.device=cpu", "--quiet"]


@pytest.mark.slow
def test_train_score_and_resume_agree(tool, words, tmp_path: Path, capsys):
    assert tool.main(words) == 0
    table = capsys.readouterr().out
    assert "LLP (synthetic features), test: 24 videos" in table and "Event@AV" in table
    assert tool.main(["--score", str(tmp_path / "llp"), "--split", "test", "--device", "cpu", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert f"{scored['segment']['type_av']:.2f}" in table
    assert tool.main(["--resume", str(tmp_path / "llp"), "--quiet"]) == 0
    assert capsys.readouterr().out == table


@pytest.mark.parametrize(("given", "says"), [
    ("train.seeds=[1,2]", "train.seeds"), ("data.features=none.h5", "no such file"), ("model.conf=1", "no such set"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(tool, words, capsys, given, says):
    assert tool.main([*words, given]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and says in err


@pytest.mark.parametrize("given", [[], ["a.yaml", "--resume", "x"], ["a.yaml", "--split", "val"],
                                   ["a.yaml", "--device", "cpu"], ["--score", "x", "--overwrite"]])
def test_requests_that_contradict_themselves_are_refused(tool, given):
    with pytest.raises(SystemExit):
        tool.main(given)


def test_an_interrupt_prints_how_to_continue(tool, words, capsys, monkeypatch):
    def stop(config, **__):
        folder = config.run_dir / config.name
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(tool.parsing, "train", stop)
    assert tool.main(words) == 130
    assert "--resume" in capsys.readouterr().err
