"""The explanation tool as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avsgn_pyg.engine.recipes import pictures
from avsgn_pyg.model import explain

pytestmark = pytest.mark.slow

KINDS = "background", "event", "class"


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(explain.COEFFICIENTS, "epochs", 2)
    monkeypatch.setattr(pictures, "STEPS", 4)


@pytest.mark.parametrize(("options", "nodes"), [
    ((), 1), (("--method", "integrated_gradients", "--second", "3"), 16)], ids=["class", "second"])
def test_the_tool_writes_figure_and_masks(options, nodes, small_run, tmp_path, capsys, load):
    arguments = [str(small_run), "--split", "val", "--format", "svg", "--out", str(tmp_path), *options]
    assert load("explain").main(arguments) == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert paths == [tmp_path / "explanation.svg", tmp_path / "explanation.pt"]
    found = torch.load(paths[1], weights_only=False)
    assert found.validate() and found["audio"].node_mask.shape == (10, nodes)
    shown = paths[0].read_text()
    assert "audio mask" in shown and bool(options) == (f"{KINDS[int(found.target)]} in second 3" in shown)


@pytest.mark.parametrize(("arguments", "says"), [
    (["{run}", "--second", "10"], "0 to 9"), (["{run}", "--row", "9999"], "--row 9999")])
def test_a_mistake_is_one_sentence_and_exit_code_2(small_run, tmp_path, capsys, arguments, says, load):
    given = [part.format(run=small_run) for part in arguments]
    assert load("explain").main([*given, "--split", "val", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error and not list(tmp_path.iterdir())
