"""The walls and the manners of the house: who may import whom, and what no file may hold.

Every check is also shown a made house that breaks it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TOOLS, TESTS = ROOT / "avsgn_pyg", ROOT / "tools", ROOT / "tests"
LIBRARY = sorted(PACKAGE.rglob("*.py"))

#: Tests of the project as a whole, which mirror no module.
OF_THE_WHOLE = {
    "test_house", "test_configs", "test_measured", "test_paper", "test_paper_map", "test_readme", "test_startup",
}

#: Tests of a folder as a whole.
OF_A_FOLDER = {"model/test_section3"}

#: Lines that a file may have, and who is let off: the schema and the set-up stand in one place each.
LONGEST = {"avsgn_pyg": 300, "tools": 90}
LET_OFF = {"avsgn_pyg/config.py", "tools/bootstrap.py"}

#: Slow to load, or not installed with the package; nobody pays for them at import.
HEAVY = {"av", "open_clip", "laion_clap", "matplotlib", "transformers", "torchvision", "gradio", "tensorboard"}


# --- Walls ---------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the package in `folder`, by the contracts of its setup.cfg."""
    code = "import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, "--no-cache", "--no-logo"], cwd=folder,
                          capture_output=True, text=True, timeout=120)


def test_the_walls_stand():
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_an_arrow_upwards_breaks_a_wall(tmp_path: Path):
    (tmp_path / "setup.cfg").write_text(
        "[importlinter]\nroot_package = made\n"
        "[importlinter:contract:floors]\nname = Floors\ntype = layers\n"
        "layers =\n    made.roof\n    made.cellar\n"
    )
    (tmp_path / "made").mkdir()
    for name, text in {"__init__": "", "roof": "import made.cellar\n", "cellar": ""}.items():
        (tmp_path / "made" / f"{name}.py").write_text(text)
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / "made" / "cellar.py").write_text("import made.roof\n")
    run = lint_imports(tmp_path)
    assert run.returncode == 1 and "Floors BROKEN" in run.stdout


def test_a_second_door_breaks_a_wall(tmp_path: Path):
    (tmp_path / "setup.cfg").write_text(
        "[importlinter]\nroot_package = made\ninclude_external_packages = True\n"
        "[importlinter:contract:door]\nname = The door\ntype = protected\n"
        "protected_modules =\n    yaml\nallowed_importers =\n    made.porch\n"
    )
    (tmp_path / "made").mkdir()
    for name, text in {"__init__": "", "porch": "import yaml\n", "cellar": ""}.items():
        (tmp_path / "made" / f"{name}.py").write_text(text)
    assert lint_imports(tmp_path).returncode == 0
    (tmp_path / "made" / "cellar.py").write_text("import yaml\n")
    run = lint_imports(tmp_path)
    assert run.returncode == 1 and "The door BROKEN" in run.stdout


def test_laion_clap_which_is_imported_by_name_has_one_door():
    named = [path for path in LIBRARY if re.search(r"""["']laion_clap[."']""", path.read_text())]
    assert [path.relative_to(PACKAGE).as_posix() for path in named] == ["features/clap.py"]


def loaded_by(code: str) -> set[str]:
    """Modules, and their top-level packages, that a fresh interpreter has loaded after `code`."""
    run = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], cwd=ROOT,
                         capture_output=True, text=True, check=True, timeout=300)
    return {part for name in run.stdout.split() for part in (name, name.partition(".")[0])}


def test_importing_the_package_loads_neither_torch_nor_pyg():
    assert not {*HEAVY, "torch", "torch_geometric", "numpy"} & loaded_by("import avsgn_pyg, avsgn_pyg.config")


def test_training_loads_neither_encoders_nor_figures():
    assert not HEAVY & loaded_by("import avsgn_pyg; avsgn_pyg.train")


def test_prediction_loads_neither_figures_nor_the_compiler_nor_the_hub_s_client():
    unused = {*HEAVY, "torch._dynamo", "accelerate", "httpx", "httpx2"} - {"av"}
    assert not unused & loaded_by("import avsgn_pyg; avsgn_pyg.Predictor")


def test_every_name_of_the_package_is_listed_and_there():
    code = "import avsgn_pyg; print({getattr(avsgn_pyg, n) and n for n in avsgn_pyg.__all__} <= set(dir(avsgn_pyg)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.stdout == "True\n", run.stderr


def test_a_loaded_package_is_seen():
    assert "matplotlib" in loaded_by("import matplotlib")


# --- Manners -------------------------------------------------------------------------------------


LEAVING = {"exit", "quit", "sys.exit", "os._exit"}


def rudeness(text: str) -> Iterator[str]:
    """What a library file may not do: print, exit, assert, import a star, go without a first sentence."""
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield "line 1: no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", *LEAVING}:
            yield f"line {node.lineno}: {ast.unparse(node.func)}()"
        elif isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"
        elif isinstance(node, ast.Raise) and "SystemExit" in ast.unparse(node):
            yield f"line {node.lineno}: raise SystemExit"
        elif isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield f"line {node.lineno}: import *"


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_is_polite(path: Path):
    assert not list(rudeness(path.read_text()))


@pytest.mark.parametrize("line", [
    "print(1)", "sys.exit(2)", "assert x", "raise SystemExit(3)", "from os import *", "def f():\n    exit()",
])
def test_rudeness_is_seen(line: str):
    assert len(list(rudeness(f'"""A file."""\n{line}\n'))) == 1


def test_a_file_without_a_first_sentence_is_seen():
    assert list(rudeness("x = 1\n")) == ["line 1: no docstring"]


def test_a_docstring_that_shows_a_print_is_not_one():
    assert not list(rudeness('"""A file.\n\n    >>> print(1)\n"""\n'))


# --- Sizes and places ----------------------------------------------------------------------------


def too_long(folder: Path, most: int) -> dict[str, int]:
    """Files below `folder` with more lines than `most`."""
    sizes = {path: len(path.read_text().splitlines()) for path in folder.rglob("*.py")}
    return {path.relative_to(folder.parent).as_posix(): size for path, size in sizes.items() if size > most}


@pytest.mark.parametrize("folder", LONGEST)
def test_files_can_be_read_in_one_sitting(folder: str):
    assert set(too_long(ROOT / folder, LONGEST[folder])) <= LET_OFF


def test_a_long_file_is_seen(tmp_path: Path):
    (tmp_path / "short.py").write_text("x = 1\n" * 5)
    (tmp_path / "long.py").write_text("x = 1\n" * 6)
    assert list(too_long(tmp_path, 5).values()) == [6]


def strays(tests: Path, package: Path, tools: Path) -> list[str]:
    """Tests that stand where no module stands: tests/data/test_ave.py is of avsgn_pyg/data/ave.py."""
    found = []
    for path in sorted(tests.rglob("test_*.py")):
        place, name = path.parent.relative_to(tests), path.stem.removeprefix("test_")
        home = tools / place.relative_to("tools") if place.parts[:1] == ("tools",) else package / place
        modules = (home / f"{name}.py", home / name / "__init__.py")
        of_the_whole = place == Path(".") and path.stem in OF_THE_WHOLE
        of_a_folder = path.relative_to(tests).with_suffix("").as_posix() in OF_A_FOLDER
        if not of_the_whole and not of_a_folder and not any(module.is_file() for module in modules):
            found.append(path.relative_to(tests).as_posix())
    return found


def test_tests_mirror_the_package():
    assert not strays(TESTS, PACKAGE, TOOLS)


def test_a_stray_test_is_seen(tmp_path: Path):
    modules = ("p/data/ave.py", "p/recipes/__init__.py", "tools/train.py")
    in_place = ("t/data/test_ave.py", "t/test_recipes.py", "t/tools/test_train.py", "t/test_house.py")
    for name in (*modules, *in_place, "t/data/test_house.py", "t/test_ave.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert strays(tmp_path / "t", tmp_path / "p", tmp_path / "tools") == ["data/test_house.py", "test_ave.py"]


def test_folders_of_tests_are_no_packages():
    assert not list(TESTS.rglob("__init__.py"))


def test_a_tool_calls_the_library_and_answers_for_help():
    for path in sorted(TOOLS.glob("*.py")):
        tree = ast.parse(path.read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert ast.get_docstring(tree) and "main" in functions, path
