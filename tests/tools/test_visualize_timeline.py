"""The timeline tool as a user runs it, and what the graph tool has in common with it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TOOLS = ("visualize_timeline", "visualize_graph")
ENCODERS = ("--visual", "signal", "width=16", "--audio", "signal", "width=16")


def test_the_tool_writes_its_files_and_names_them(small_run, tmp_path, capsys, load):
    arguments = [str(small_run), "--split", "val", "--out", str(tmp_path), "--format", "svg", "pdf"]
    assert load("visualize_timeline").main(arguments) == 0
    assert [Path(line) for line in capsys.readouterr().out.split()] == [tmp_path / "timeline.svg",
                                                                        tmp_path / "timeline.pdf"]
    assert all((tmp_path / f"timeline.{suffix}").is_file() for suffix in ("svg", "pdf"))


@pytest.mark.parametrize(("name", "window"), [("visualize_timeline", ""), ("visualize_graph", "-from-0")])
def test_pictures_of_rows_and_clips_are_in_the_run_by_default(name, window, small_run, folders_of, clip, load):
    tool, media = load(name), clip(3)
    row = ("--split", "val", "--row", 17, "--format", "svg")
    assert folders_of(tool, small_run, *row) == {small_run / "pictures" / "row-17"}
    # The synthetic features of this run record no encoder; the two that are given are used, unchecked.
    with pytest.warns(UserWarning, match="unchecked"):
        found = folders_of(tool, small_run, "--video", media, *ENCODERS, "--format", "svg")
    assert found == {small_run / "pictures" / f"clip-{media.stem}{window}"}


def test_a_clip_is_drawn_by_labels_alone(tmp_path, clip, load, capsys):
    labels = ("--label", "dog barking", "--label", "violin")
    assert load("visualize_timeline").main(["--video", str(clip(3)), *labels, *ENCODERS, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "timeline.png").is_file()
    with pytest.raises(SystemExit):
        load("visualize_timeline").main(["--video", str(clip(3)), *labels])
    assert "--out DIR" in capsys.readouterr().err


@pytest.mark.parametrize("name", TOOLS)
def test_a_run_without_write_access_is_an_error_that_names_out(name, small_run, tmp_path, capsys, load):
    copy = Path(shutil.copytree(small_run, tmp_path / "run", ignore=shutil.ignore_patterns("pictures")))
    (copy / "pictures").write_text("in the way")
    assert load(name).main([str(copy), "--split", "val"]) == 2
    assert "--out DIR" in capsys.readouterr().err


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize(("arguments", "says"), [
    (["{run}", "--row", "9999"], "--row 9999"),
    (["{run}", "--tau", "2"], "--tau 2.0"),
    (["{run}", "--media", "{run}/absent.mp4"], "absent.mp4"),
    (["{run}", "--video", "{run}/config.yaml"], "encoder"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(name, small_run, tmp_path, capsys, arguments, says, load):
    given = [part.format(run=small_run) for part in arguments]
    assert load(name).main([*given, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", TOOLS)
def test_clips_that_fail_are_listed_after_the_others(name, run, clip, tmp_path, capsys, monkeypatch, load):
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(clip(3), folder / "b.mp4")
    (folder / "a.mp4").write_text("no video")
    (folder / "c.txt").touch()
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    assert load(name).main([str(run), "--video", str(folder), "--out", str(tmp_path / "out"), "--format", "svg"]) == 1
    first, *figures, last = capsys.readouterr().out.splitlines()
    assert first == "note: skipped 1 file: 1 .txt" and figures and last.startswith(f"failed: {folder / 'a.mp4'}: ")


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("arguments", [("--video", "clip.mp4", "--split", "val"), ("--row", "1", "--visual", "signal")])
def test_rows_and_clips_have_options_of_their_own(name, arguments, small_run, capsys, load):
    with pytest.raises(SystemExit):
        load(name).main([str(small_run), *arguments])
    assert "--video CLIP" in capsys.readouterr().err
