"""Rules for every file: import contracts, start-up cost, size, place, and what the library must not do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, TOOLS, TESTS = ROOT / "avsgn_pyg", ROOT / "tools", ROOT / "tests"
LIBRARY = sorted(PACKAGE.rglob("*.py"))

#: Tests of the project or of a folder as a whole, which mirror no module.
UNMIRRORED = {
    "test_house", "test_configs", "test_measured", "test_paper", "test_paper_map", "test_readme", "test_startup",
    "model/test_section3",
}

#: Most lines of a file, and the files that may have more.
LONGEST = {"avsgn_pyg": 300, "tools": 90}
LONGER = {"avsgn_pyg/common/settings.py", "tools/bootstrap.py"}

#: Most pairs of rooms of which one imports from the other; fewer is better.
MOST_ARROWS = 44

#: Packages that are slow to load, or optional: no import of the library may load them.
HEAVY = {"av", "open_clip", "laion_clap", "matplotlib", "transformers", "torchvision", "gradio", "tensorboard"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


# --- Imports -------------------------------------------------------------------------------------


def test_the_import_contracts_of_setup_cfg_hold():
    code = "import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0 and "0 broken" in done.stdout, done.stdout + done.stderr


def test_laion_clap_is_imported_in_one_file():
    """By name, which import contracts do not see."""
    found = [path for path in LIBRARY if re.search(r"""["']laion_clap[."']""", path.read_text())]
    assert [path.relative_to(PACKAGE).as_posix() for path in found] == ["features/clap.py"]


def loaded_after(*statements: str) -> list[set[str]]:
    """Modules, and their top-level packages, that a fresh interpreter has loaded after each statement."""
    code = "import sys\n" + "\n".join(f"{statement}\nprint(*sys.modules)" for statement in statements)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [{part for name in line.split() for part in (name, name.partition(".")[0])}
            for line in done.stdout.splitlines()]


def test_training_loads_no_encoders_and_the_package_alone_no_torch():
    package, training = loaded_after("import avsgn_pyg, avsgn_pyg.common.config", "avsgn_pyg.train")
    assert not {*HEAVY, "torch", "torch_geometric", "numpy"} & package
    assert not HEAVY & training and "torch" in training


@pytest.mark.slow
def test_prediction_loads_no_figures_no_compiler_and_no_hub_client():
    (prediction, _) = loaded_after(
        "import avsgn_pyg; avsgn_pyg.Predictor",
        "assert {name for name in avsgn_pyg.__all__ if getattr(avsgn_pyg, name)} <= set(dir(avsgn_pyg))",
    )
    assert not ({*HEAVY, "torch._dynamo", "accelerate", "httpx", "httpx2"} - {"av"}) & prediction


def test_few_rooms_know_each_other():
    """A room is a folder or file at the top of the package; an arrow leads from it to each room that it imports from.

    Late imports and those for type checkers count, the package's own ``__init__`` does not.
    """
    rooms = {path.stem for path in PACKAGE.iterdir()} - {"__init__", "__pycache__"}
    arrows = set()
    for path in LIBRARY:
        here = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(tree_of(path)) if here != "__init__" else ():
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            modules = [f"{node.module}.{name}" for name in names] if isinstance(node, ast.ImportFrom) else names
            arrows |= {(here, part) for module in modules for part in module.split(".")[1:2]
                       if module.startswith("avsgn_pyg.") and part in rooms - {here}}
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)


# --- Library code --------------------------------------------------------------------------------


def forbidden(tree: ast.Module) -> Iterator[str]:
    """Statements that a library file must not have: prints, exits, asserts, star imports; or no docstring."""
    if not ast.get_docstring(tree):
        yield "no docstring"
    for node in ast.walk(tree):
        called = node.func if isinstance(node, ast.Call) else None
        leaves = getattr(called, "id", getattr(called, "attr", "")) in {"print", "exit", "quit", "_exit"}
        leaves |= isinstance(node, ast.Raise) and "SystemExit" in ast.unparse(node)
        star = isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        if leaves or star or isinstance(node, ast.Assert):
            yield ast.unparse(node)


def test_the_library_does_not_print_exit_or_assert():
    found = {path.relative_to(ROOT).as_posix(): list(forbidden(tree_of(path))) for path in LIBRARY}
    assert not {path: statements for path, statements in found.items() if statements}


@pytest.mark.parametrize("line", [
    "print(1)", "sys.exit(2)", "assert x", "raise SystemExit(3)", "from os import *", "def f():\n    exit()",
])
def test_a_forbidden_statement_is_found(line: str):
    assert len(list(forbidden(ast.parse(f'"""A file that shows ``print(1)``."""\n{line}\n')))) == 1


# --- Sizes and places ----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", LONGEST)
def test_files_are_short(folder: str):
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
             for path in (ROOT / folder).rglob("*.py")}
    assert {path for path, size in sizes.items() if size > LONGEST[folder]} <= LONGER


def test_tests_mirror_the_package():
    """tests/data/test_ave.py is of avsgn_pyg/data/ave.py, tests/tools/test_train.py of tools/train.py."""
    unmatched = []
    for path in sorted(TESTS.rglob("test_*.py")):
        place, name = path.parent.relative_to(TESTS), path.stem.removeprefix("test_")
        home = TOOLS / place.relative_to("tools") if place.parts[:1] == ("tools",) else PACKAGE / place
        if not (home / f"{name}.py").is_file() and not (home / name / "__init__.py").is_file():
            unmatched.append(path.relative_to(TESTS).with_suffix("").as_posix())
    assert set(unmatched) <= UNMIRRORED
    assert not list(TESTS.rglob("__init__.py"))


def test_a_tool_has_a_docstring_and_a_main():
    for path in sorted(TOOLS.glob("*.py")):
        tree = ast.parse(path.read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert ast.get_docstring(tree) and "main" in functions, path
