"""The t-SNE tool as a user runs it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("given", [True, False])
def test_the_tool_writes_the_figure_where_it_is_asked_to_or_in_the_run(given, small_run, tmp_path, capsys, load):
    pytest.importorskip("sklearn")
    folder = tmp_path if given else small_run / "pictures" / "val"
    options = ["--out", str(tmp_path), "--points", "50"] if given else ["--perplexity", "5"]
    arguments = [str(small_run), "--split", "val", "--format", "svg", "--device", "cpu", *options]
    assert load("visualize_tsne").main(arguments) == 0
    assert capsys.readouterr().out.split() == [str(folder / "tsne.svg")] and (folder / "tsne.svg").is_file()


@pytest.mark.parametrize(("arguments", "says"), [
    (["{run}", "--points", "1"], "most=1"),
    (["{run}", "model.dim=4"], "model.dim"),
    (["{run}", "--seed", "-1"], "--seed -1"),
])
def test_what_cannot_be_drawn_is_one_line_and_exit_code_2(small_run, capsys, arguments, says, load):
    assert load("visualize_tsne").main([argument.format(run=small_run) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error
