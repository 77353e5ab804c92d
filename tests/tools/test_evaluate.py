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
    assert all(part in printed for part in ("| val: 6 videos", "tau: 0.4", f"\n{small_run}/\n"))


def test_json_is_all_that_is_printed(tool: ModuleType, small_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main([str(small_run), "--tau-from", "val", "--json", "--device", "cpu"]) == 0
    values = json.loads(capsys.readouterr().out)
    [found] = values["evaluations"]
    assert (found["tau_from"], found["scores"]["videos"], values["summary"]) == ("val", 6, None)


@pytest.mark.parametrize(("arguments", "says"), [
    (["train.epochs=3"], "train.epochs"), (["--tau", "2"], "--tau 2.0"), (["data.synthetic.width=32"], "audio_width"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tool: ModuleType, small_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert tool.main([str(small_run), *arguments, "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and says in said
