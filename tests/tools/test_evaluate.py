"""The evaluation tool as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest


def test_the_tool_prints_a_table_and_the_folder(
    tool: ModuleType, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool.main([str(small_run), "--split", "val", "--tau", "0.4", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "| val: 6 videos" in printed and "tau: 0.4" in printed
    assert printed.endswith(f"\n\nwritten: {small_run}/evaluation-val-tau=0.4\n")


@pytest.mark.slow
def test_json_is_all_that_is_printed(tool: ModuleType, small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([str(small_run), "--tau-from", "val", "--json", "--device", "cpu"]) == 0
    values = json.loads(capsys.readouterr().out)
    [found] = values["evaluations"]
    assert (found["tau_from"], found["scores"]["videos"], values["summary"]) == ("val", 6, None)


@pytest.mark.parametrize(("text", "seeds"), [("all", None), ("2", 2), ("0,3", (0, 3)), ("3,", (3,))])
def test_seeds_are_all_a_count_or_a_list(tool: ModuleType, text: str, seeds: object) -> None:
    assert tool.parse(["run", "--seeds", text]).seeds == seeds


@pytest.mark.parametrize("text", ["0", "some", "1,1", "-1", ""])
def test_seeds_that_are_neither_are_refused(tool: ModuleType, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        tool.parse(["run", f"--seeds={text}"])
    assert "--seeds" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "says"), [
    (["--seeds", "2"], "not a run of several seeds"),
    (["train.epochs=3"], "train.epochs"), (["--tau", "2"], "--tau 2.0"), (["data.synthetic.width=32"], "audio_width"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: ModuleType, small_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert tool.main([str(small_run), *arguments, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and says in said
