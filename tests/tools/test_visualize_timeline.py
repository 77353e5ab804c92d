"""The timeline tool as a user runs it."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg import recipes
from avsgn_pyg.config import Config

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MAKERS = TOOLS.parent / "tests" / "predictor" / "conftest.py"


def load(name: str, path: Path | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_tool", path or TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


clip = load("makers", MAKERS).clip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config.model_validate({
        "run_dir": tmp_path_factory.mktemp("runs"),
        "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
        "model": {"dim": 16},
        "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
        "evaluate": {"bootstrap": 50},
    })
    return recipes.train(config, progress=False).folder


def test_the_tool_writes_its_files_and_names_them(run, tmp_path, capsys):
    arguments = [str(run), "--split", "val", "--out", str(tmp_path), "--format", "svg", "pdf"]
    assert load("visualize_timeline").main(arguments) == 0
    printed = capsys.readouterr().out.split()
    assert [Path(line).name for line in printed] == ["timeline.svg", "timeline.pdf"]
    assert all(Path(line).is_file() for line in printed)


def test_unless_told_otherwise_rows_and_clips_lie_with_their_run_each_in_a_folder(run, folders_of, clip):
    tool, media = load("visualize_timeline"), clip(3)
    assert folders_of(tool, run, "--split", "val", "--row", 17, "--format", "svg") == {run / "pictures" / "row-17"}
    given = ("--visual", "signal", "width=16", "--audio", "signal", "width=16", "--format", "svg")
    with pytest.warns(UserWarning, match="unchecked"):
        assert folders_of(tool, run, "--video", media, *given) == {run / "pictures" / f"clip-{media.stem}"}


def test_a_run_that_cannot_be_written_to_is_told_before_it_is_drawn(run, tmp_path, capsys):
    copy = Path(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("pictures")))
    (copy / "pictures").write_text("in the way")
    assert load("visualize_timeline").main([str(copy), "--split", "val"]) == 2
    assert "cannot be written to; name another folder for the pictures, --out DIR" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "says"), [
    (["{run}/absent"], "no such folder"),
    (["{run}", "--row", "9999"], "row=9999 is not in the"),
    (["{run}", "--tau", "2"], "tau=2.0 is no threshold"),
    (["{run}", "--media", "{run}/absent.mp4"], "absent.mp4"),
    (["{run}", "--video", "{run}/absent.mp4"], "no such file"),
    (["{run}", "--video", "{run}/config.yaml"], "made"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(run, tmp_path, capsys, arguments, says):
    assert load("visualize_timeline").main([*(part.format(run=run) for part in arguments), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and says in said
    assert not list(tmp_path.iterdir())


def test_a_video_takes_no_settings_of_the_data(run, capsys):
    with pytest.raises(SystemExit):
        load("visualize_timeline").main([str(run), "--video", "clip.mp4", "--split", "val"])
    assert "--video CLIP needs no data" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        load("visualize_timeline").main([str(run), "--row", "1", "--visual", "signal"])
    assert "--video CLIP needs no data, but its encoders" in capsys.readouterr().err


def test_a_video_may_bring_its_encoders(run, tmp_path, capsys, clip):
    """The made-up features of this run say of no encoder; the two that are named are taken, unchecked."""
    given = ["--visual", "signal", "width=16", "--audio", "signal", "width=16"]
    with pytest.warns(UserWarning, match="unchecked"):
        assert load("visualize_timeline").main([str(run), "--video", str(clip(3)), "--out", str(tmp_path), *given]) == 0
    assert (tmp_path / "timeline.png").is_file()
