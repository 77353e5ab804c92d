"""The graph tool as a user runs it; what it has in common with the timeline tool is tested there."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_tool_writes_its_files_and_names_them(small_run, tmp_path, capsys, load):
    arguments = [str(small_run), "--split", "val", "--out", str(tmp_path), "--format", "svg", "--layer", "rollout"]
    assert load("visualize_graph").main(arguments) == 0
    printed = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name for path in printed] == ["graph.svg", "adjacency.svg", "graph.html", "graph.graphml",
                                               "graph.json", "graph.pt"]
    assert all(path.is_file() for path in printed)


@pytest.mark.parametrize(("arguments", "says"), [
    (("--layer", "layer 9"), "this model has"), (("--share", "0"), "--share 0"),
])
def test_a_drawing_that_cannot_be_is_an_error(arguments, says, small_run, tmp_path, capsys, load):
    assert load("visualize_graph").main([str(small_run), *arguments, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error and not list(tmp_path.iterdir())


def test_a_row_takes_no_start(small_run, capsys, load):
    with pytest.raises(SystemExit):
        load("visualize_graph").main([str(small_run), "--row", "0", "--start", "3"])
    assert "--start" in capsys.readouterr().err
