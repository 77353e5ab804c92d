"""The command line that all tools share."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from avsgn_pyg.common.command_line import Parser, exit_status, is_setting, local, own_words, path


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Parse the words of a tool with files, lists and settings, in a folder with the file ``-PE8.mp4``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/u")
    Path("-PE8.mp4").touch()
    Path("-help.mp4").touch()

    def run(*words: str) -> Namespace:
        parser = Parser("")
        parser.add_argument("clips", nargs="*", type=path)
        parser.add_list("--format", choices=("png", "svg"), default=["png"])
        parser.add_list("--visual", commas=False, own=is_setting)
        parser.add_argument("--weights", type=local)
        parser.add_argument("--verify", nargs="?", type=int, const=8)
        return parser.parse_intermixed_args([*words])

    return run


@pytest.mark.parametrize("words", [
    ["--format", "svg,png", "a.mp4"], ["--format", "svg", "--format", "png", "a.mp4"],
    ["--format", "svg", "png", "a.mp4"], ["a.mp4", "--format=svg", "png"],
])
def test_a_list_takes_its_own_values_and_no_argument_of_another(parse, words: list[str]) -> None:
    found = parse(*words)
    assert (found.format, found.clips) == (["svg", "png"], [Path("a.mp4")])
    assert parse("a.mp4").format == ["png"]


def test_a_file_that_is_called_like_a_choice_is_a_file(parse) -> None:
    Path("png").touch()
    assert parse("--format", "svg", "png").clips == [Path("png")]


def test_settings_after_a_name_belong_to_it_and_may_contain_commas(parse) -> None:
    found = parse("--visual", "clip", "weights=a,b", "c.mp4")
    assert (found.visual, found.clips) == (["clip", "weights=a,b"], [Path("c.mp4")])


def test_an_optional_number_does_not_take_a_file(parse) -> None:
    assert parse("--verify", "a.mp4").clips == [Path("a.mp4")]
    assert parse("--verify", "3", "a.mp4").verify == 3


@pytest.mark.parametrize("name", ["-PE8.mp4", "-help.mp4"])
def test_a_file_whose_name_begins_with_a_dash_is_a_file(parse, name: str) -> None:
    assert parse("a.mp4", name).clips == parse("--", "a.mp4", name).clips == [Path("a.mp4"), Path(name)]


def test_home_is_expanded(parse) -> None:
    found = parse("~/a.mp4", "--weights=~/w.pt")
    assert (found.clips, found.weights) == ([Path("/home/u/a.mp4")], "/home/u/w.pt")
    parser = Parser("")
    parser.add_overrides("")
    words = ["data.root=~/AVE", "model.cmgi.topk=~", "name=a"]
    assert parser.parse_args(words).overrides == ["data.root=/home/u/AVE", *words[1:]]


@pytest.mark.parametrize(("words", "says"), [
    (["--format", "pgn"], "did you mean png"), (["--formt", "png"], "did you mean --format"),
    (["-absent.mp4"], "./-absent.mp4 or put --"), (["https://a/b.mp4"], "not fetched"),
    (["youtu.be/x"], "not fetched"), (["--weights", "s3://b/w.pt"], "not fetched"),
])
def test_a_mistake_is_named_with_its_remedy(parse, capsys, words: list[str], says: str) -> None:
    with pytest.raises(SystemExit):
        parse(*words)
    assert says in capsys.readouterr().err


def test_errors_name_options_in_place_of_arguments() -> None:
    options = Namespace(tau=2.0, download=False, tau_from=None)
    error = ValueError("tau=2.0: evaluate.tau=0.6 is kept; fetch it with download=True, or tau_from='val'")
    assert own_words(error, options) == (
        "--tau 2.0: evaluate.tau=0.6 is kept; fetch it with --download, or --tau-from 'val'")


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_the_status_of_a_tool_is_what_its_work_returns(returned: int | None, status: int, capsys) -> None:
    assert exit_status(lambda: returned, Namespace()) == status and capsys.readouterr() == ("", "")


def test_an_expected_error_is_one_line_with_the_options_of_the_tool_and_others_are_raised(capsys) -> None:
    def fail() -> None:
        raise ValueError("tau=2: expected less than 1")

    assert exit_status(fail, Namespace(tau=2), ValueError) == 2
    assert capsys.readouterr().err == "error: --tau 2: expected less than 1\n"
    with pytest.raises(ValueError, match="tau"):
        exit_status(fail, Namespace(tau=2), OSError)


@pytest.mark.parametrize("stopped", ["", "stopped; the same command resumes"])
def test_ctrl_c_says_how_to_go_on(stopped: str, capsys) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    assert exit_status(interrupt, Namespace(), stopped=stopped) == 130
    assert capsys.readouterr().err == stopped + "\n" * bool(stopped)
