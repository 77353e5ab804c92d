"""Names in docs/paper_map.md exist: classes, tests, settings and files; and it has every equation."""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import avsgn_pyg.layers
import avsgn_pyg.model
from avsgn_pyg.common.config import load_config
from avsgn_pyg.graph import localization
from avsgn_pyg.model import losses

ROOT = Path(__file__).resolve().parent.parent
MAP = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([^`]+)`", MAP)))
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in MAP.splitlines() if line.startswith("|")]


def names_of_tests(path: Path) -> set[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def public_names() -> set[str]:
    modules = [importlib.import_module(f"{room.__name__}.{found.name}") for room in (avsgn_pyg.model, avsgn_pyg.layers)
               for found in pkgutil.iter_modules(room.__path__)]
    return {name for module in (*modules, localization, losses) for name, value in vars(module).items()
            if getattr(value, "__module__", module.__name__) == module.__name__}


IN_PAPER = names_of_tests(ROOT / "tests" / "test_paper.py")
EVERYWHERE = {name for path in (ROOT / "tests").rglob("test_*.py") for name in names_of_tests(path)}


def test_named_tests_exist_and_every_test_of_an_equation_is_named():
    named = {name for name in NAMED if name.startswith("test_")}
    assert not {name for name in named if name not in (EVERYWHERE if f"`{name}` in `tests/" in MAP else IN_PAPER)}
    assert {name for name in IN_PAPER if re.match(r"test_(eq\d|table\d)", name)} <= named


def test_every_equation_is_on_the_map():
    places = [row[0] for row in ROWS if row[0].startswith("Eq.") and len(row) == 4]
    numbers = {int(number) for place in places for number in re.findall(r"\d+", place)}
    assert numbers == set(range(1, 19))


def test_every_class_of_the_code_column_exists():
    columns = [row[2] for row in ROWS if len(row) == 4 and row[0] not in ("Paper", "---")]
    named = {name for column in columns for name in re.findall(r"`(\w+)`", column)}
    assert len(named) > 15 and named <= public_names()


@pytest.mark.parametrize("setting", [name for name in NAMED if re.match(r"(model|objective|train|evaluate)\.\w", name)])
def test_a_named_setting_exists(setting: str):
    if "=" in setting:
        load_config(None, [setting])
    else:
        functools.reduce(lambda tree, part: tree[part], setting.split("."), load_config().model_dump())


def test_named_files_exist():
    assert not [name for name in NAMED if "/" in name and " " not in name and not (ROOT / name).exists()]
