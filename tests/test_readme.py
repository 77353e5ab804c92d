"""Documents: commands can be typed, links lead to files, Python of the README runs."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache, partial
from pathlib import Path

import pytest

from avsgn_pyg import datasets
from avsgn_pyg.common.config import Config, ConfigError, load_config
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.zoo import Shape, build_model

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "MODEL_CARD.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
#: Files that add options to several tools.
OPTIONS = ("avsgn_pyg/predictor/inputs.py", "avsgn_pyg/features/choice.py", "avsgn_pyg/features/limits.py")
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def fences(document: Path, language: str) -> list[str]:
    """Fenced blocks of one language."""
    text = document.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    """Lines of shell blocks, and code spans that begin with a program of the project."""
    blocks = [block.replace("\\\n", " ") for block in fences(document, "(?:bash|sh)")]
    shown = [line for block in blocks for line in block.splitlines() if line.strip()]
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return shown + re.findall(r"`((?:[A-Z]+=\S+ )*(?:make |\.venv/bin/|python )[^`]+)`", prose)


def problem(command: str) -> str | None:
    """Why a command could not be typed as it stands, or ``None``."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    if words[0] == "make":
        unknown = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return f"no target {unknown}" if unknown else None
    scripts = [word for word in words if word.startswith("tools/")]
    if words[0] not in (".venv/bin/python", "python", "python3") or not scripts:
        return f"not a command of the project: {words[0]}"
    missing = [word for word in words if re.match(r"(tools|configs)/", word) and not (ROOT / word).is_file()]
    if missing:
        return f"no such file: {missing}"
    return wrong_arguments(scripts[0], words[words.index(scripts[0]) + 1:])


def wrong_arguments(script: str, arguments: list[str]) -> str | None:
    """Flags that the tool does not know, settings from which no model can be built."""
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in (script, *OPTIONS)]
    known = {flag for text in texts for flag in re.findall(r"\"(--[\w-]+)\"", text)} | {"--help"}
    unknown = [word for word in arguments if word.startswith("--") and word not in known]
    if unknown:
        return f"{script} has no {unknown}"
    # A suite is no experiment; tests/suites builds every row of each.
    configs = [ROOT / word for word in arguments if re.match(r"configs/(?!suites/)", word)]
    try:
        buildable(*configs[:1], *(word for word in arguments if "=" in word))
    except ConfigError as error:
        return str(error)
    return None


@cache
def buildable(*words: Path | str) -> None:
    """Build the model of a config, or of none, and settings."""
    path = words[0] if words and isinstance(words[0], Path) else None
    config = load_config(path, [word for word in words if word is not path])
    build_model(config.model, Shape(audio_width=16, visual_width=16, segments=10, classes=3), dense=config.events)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_can_be_typed(document: Path):
    problems = {command: problem(command) for command in commands(document)}
    assert not {command: found for command, found in problems.items() if found}


@pytest.mark.parametrize(("command", "words"), [
    ("make demos", "no target"), ("python tools/trane.py", "no such file"), ("rm -rf .", "not a command"),
    (".venv/bin/python tools/train.py configs/demo.yaml --resum", "has no"),
    (".venv/bin/python tools/train.py configs/demo.yaml train.epoch=3", "did you mean train.epochs?"),
])
def test_a_wrong_command_is_found(command: str, words: str):
    assert words in problem(command)


@pytest.mark.parametrize(("target", "recipe"), [
    ("demo", ["tools/bootstrap.py", "tools/make_scenes.py", "tools/extract_features.py",
              ".venv/bin/python tools/train.py configs/demo.yaml", "tools/predict.py", "tools/visualize_timeline.py"]),
    ("test", ["tools/bootstrap.py", ".venv/bin/python -m pytest"]),
])
def test_make_runs_its_steps_in_order(target: str, recipe: list[str]):
    run = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [run.stdout.find(step) for step in recipe]
    assert found[0] > -1 and found == sorted(found)


def test_make_exports_the_torch_build():
    command = ["make", "--silent", "--eval", "show: ; @echo built with [$$TORCH]", "show", "TORCH=cu126"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "built with [cu126]"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path):
    text = document.read_text(encoding="utf-8")
    targets = (target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text))
    inside = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]
    assert not [target for target in inside if not (document.parent / target).exists()]


@pytest.mark.parametrize("block", fences(ROOT / "README.md", "python"))
def test_python_in_the_readme_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    small = ("data.synthetic.videos=40", "data.synthetic.width=16", "model.dim=16", "evaluate.bootstrap=20")

    def smaller(path: str, given: tuple[str, ...] = ()) -> Config:
        return load_config(path, (*given, *small))

    _ = recipes.train  # imported now, so that no module keeps the replacement
    monkeypatch.setattr("avsgn_pyg.load_config", smaller)
    monkeypatch.setattr(datasets, "Synthetic", partial(datasets.Synthetic, videos=40, width=16))
    exec(compile(block, "README.md", "exec"), {})
    assert re.search(r"segment accuracy|loss of the last batch: \d", capsys.readouterr().out)
